"""The standard objects that a sales org has, and the custom ones of this one, in the notation of `schema.py`."""

from __future__ import annotations

from functools import cache

from sandbox.salesforce import shared
from sandbox.salesforce.schema import ObjectType, parse_object, person_name

CURRENCIES = "USD;EUR;GBP;JPY;CHF;BRL"
INDUSTRIES = (
    "Agriculture;Apparel;Banking;Biotechnology;Chemicals;Communications;Construction;Consulting;Education;Electronics;Energy;"
    "Engineering;Entertainment;Environmental;Finance;Food & Beverage;Government;Healthcare;Hospitality;Insurance;Machinery;"
    "Manufacturing;Media;Not For Profit;Recreation;Retail;Shipping;Technology;Telecommunications;Transportation;Utilities;Other"
)
ACCOUNT_TYPES = (
    "Prospect;Customer - Direct;Customer - Channel;Channel Partner / Reseller;"
    "Installation Partner;Technology Partner;Other"
)
SALE_TYPES = "Existing Customer - Upgrade;Existing Customer - Replacement;Existing Customer - Downgrade;New Customer"
ROLES = (
    "Business User;Decision Maker;Economic Buyer;Economic Decision Maker;Evaluator;Executive Sponsor;Influencer;"
    "Technical Buyer;Other"
)
SOURCES = "Web;Phone Inquiry;Partner Referral;Purchased List;Other"
STAGES = (
    "Prospecting;Qualification;Needs Analysis;Value Proposition;Id. Decision Makers;Perception Analysis;"
    "Proposal/Price Quote;Negotiation/Review;Closed Won;Closed Lost"
)
FORECASTS = "Omitted;Pipeline;BestCase;Forecast;Closed"
WHAT = shared.WHAT
LINKED = "User|Account|Contact|Lead|Opportunity|Case|Campaign|Task|Event|Product2|Property__c|Organization"

OBJECTS: dict[str, str] = {
    'Organization 00D "Organization" "Organizations" ro nodeleted nobulk': f"""
Name string(80) required name
Division string(80)
Street textarea(255) of=Address
City string(40) of=Address
State string(80) of=Address
PostalCode string(20) of=Address
Country string(80) of=Address
Phone phone
PrimaryContact string(80)
DefaultLocaleSidKey picklist(en_US;de_DE;ja_JP) required "Locale"
TimeZoneSidKey picklist(America/Los_Angeles;Europe/Berlin;Asia/Tokyo) required "Time Zone"
LanguageLocaleKey picklist(en_US;de;ja) required "Language"
OrganizationType picklist(Developer Edition;Enterprise Edition;Unlimited Edition) "Edition"
IsSandbox boolean ro "Is Sandbox"
InstanceName string(5)
NamespacePrefix string(15)
TrialExpirationDate datetime
FiscalYearStartMonth int
DefaultCurrencyIsoCode picklist({CURRENCIES})
""",
    'Profile 00e "Profile" "Profiles" ro nodeleted': """
Name string(255) required name
UserType picklist(Standard;PowerPartner;Guest)
Description string(255)
""",
    'UserRole 00E "Role" "Roles" nodeleted': """
Name string(80) required name
DeveloperName string(80) required
ParentRoleId reference(UserRole)
""",
    'User 005 "User" "Users" nodelete nodeleted': f"""
Username string(80) required unique
@person
CompanyName string(80)
Division string(80)
Department string(80)
Title string(80)
Address address
Email email required
EmailEncodingKey picklist(UTF-8;ISO-8859-1) required
Phone phone
Fax phone
MobilePhone phone "Mobile"
Alias string(8) required
CommunityNickname string(40) required unique "Nickname"
IsActive boolean default=true "Active"
TimeZoneSidKey picklist(America/Los_Angeles;America/New_York;Europe/Berlin;Asia/Tokyo) required
LocaleSidKey picklist(en_US;de_DE;ja_JP) required
LanguageLocaleKey picklist(en_US;de;ja) required
UserRoleId reference(UserRole) rel=UserRole
ProfileId reference(Profile) required rel=Profile
UserType picklist(Standard;PowerPartner;Guest) ro
EmployeeNumber string(20)
ManagerId reference(User) rel=Manager
LastLoginDate datetime ro
DefaultCurrencyIsoCode picklist({CURRENCIES})
FederationIdentifier string(512)
""",
    'Group 00G "Group" "Group" nodeleted': """
Name string(40) required name
DeveloperName string(80)
RelatedId reference(User|UserRole) rel=Related
Type picklist(Regular;Queue;Role;Organization) required create
Email email
OwnerId reference(Organization|User) ro rel=Owner
DoesSendEmailToMembers boolean
""",
    'RecordType 012 "Record Type" "Record Types" nodelete nodeleted': """
Name string(80) required name
DeveloperName string(80) required
NamespacePrefix string(15)
Description textarea(255)
BusinessProcessId string(18)
SobjectType picklist(Account;Contact;Lead;Opportunity;Case;Campaign;Property__c) required create
IsActive boolean default=true "Active"
""",
    'CurrencyType 01L "Currency Type" "Currency Types" nodelete nodeleted nobulk': f"""
IsoCode picklist({CURRENCIES}) required
ConversionRate double(18,6) required
DecimalPlaces int required
IsActive boolean
IsCorporate boolean
""",
    'Account 001 "Account" "Accounts"': f"""
Name string(255) required name "Account Name"
Type picklist({ACCOUNT_TYPES})
RecordTypeId reference(RecordType) rel=RecordType "Record Type ID"
ParentId reference(Account) rel=Parent "Parent Account ID"
BillingAddress address
ShippingAddress address
Phone phone "Account Phone"
Fax phone "Account Fax"
AccountNumber string(40)
Website url
Sic string(20) "SIC Code"
Industry picklist({INDUSTRIES})
AnnualRevenue currency(18,0)
NumberOfEmployees int "Employees"
Ownership picklist(Public;Private;Subsidiary;Other)
TickerSymbol string(20)
Description textarea(32000) "Account Description"
Rating picklist(Hot;Warm;Cold) "Account Rating"
Site string(80) "Account Site"
CurrencyIsoCode picklist({CURRENCIES}) restricted
OwnerId reference(User) rel=Owner default=me "Owner ID"
AccountSource picklist({SOURCES})
LastActivityDate date ro
CustomerPriority__c picklist(High;Low;Medium) "Customer Priority"
SLAExpirationDate__c date "SLA Expiration Date"
ERP_Number__c string(30) extid unique case "ERP Number"
Health_Score__c percent(5,2) "Health Score"
Regions__c multipicklist(Americas;EMEA;APAC;Antarctica) "Regions"
""",
    'Contact 003 "Contact" "Contacts"': f"""
AccountId reference(Account) rel=Account "Account ID"
@person
OtherAddress address
MailingAddress address
Phone phone "Business Phone"
Fax phone "Business Fax"
MobilePhone phone
HomePhone phone
OtherPhone phone
AssistantPhone phone "Asst. Phone"
ReportsToId reference(Contact) rel=ReportsTo "Reports To ID"
Email email
Title string(128)
Department string(80)
AssistantName string(40)
LeadSource picklist({SOURCES})
Birthdate date
Description textarea(32000) "Contact Description"
CurrencyIsoCode picklist({CURRENCIES}) restricted
OwnerId reference(User) rel=Owner default=me "Owner ID"
HasOptedOutOfEmail boolean "Email Opt Out"
DoNotCall boolean
EmailBouncedReason string(255)
EmailBouncedDate datetime
LastActivityDate date ro
Level__c picklist(Secondary;Tertiary;Primary) "Level"
Languages__c string(100) "Languages"
Legacy_Id__c string(36) extid unique "Legacy Id"
Interests__c multipicklist(Golf;Sailing;Opera;Cooking;Chess) "Interests"
Loyalty_Points__c double(8,0) "Loyalty Points"
""",
    'AccountContactRelation 07k "Account Contact Relationship" "Account Contact Relationships"': f"""
AccountId reference(Account) required create rel=Account "Account ID"
ContactId reference(Contact) required create rel=Contact "Contact ID"
Roles multipicklist({ROLES})
IsDirect boolean ro "Direct"
IsActive boolean default=true "Active"
StartDate date
EndDate date
""",
    'Lead 00Q "Lead" "Leads"': f"""
@person
Title string(128)
Company string(255) required
Address address
Phone phone
MobilePhone phone
Fax phone
Email email
Website url
Description textarea(32000)
LeadSource picklist({SOURCES})
Status picklist(Open - Not Contacted;Working - Contacted;Closed - Converted;Closed - Not Converted) required default=first
Industry picklist({INDUSTRIES})
Rating picklist(Hot;Warm;Cold)
CurrencyIsoCode picklist({CURRENCIES}) restricted
AnnualRevenue currency(18,0)
NumberOfEmployees int "Employees"
OwnerId reference(Group|User) rel=Owner default=me "Owner ID"
HasOptedOutOfEmail boolean "Email Opt Out"
IsConverted boolean ro "Converted"
ConvertedDate date ro
ConvertedAccountId reference(Account) ro rel=ConvertedAccount
ConvertedContactId reference(Contact) ro rel=ConvertedContact
ConvertedOpportunityId reference(Opportunity) ro rel=ConvertedOpportunity
IsUnreadByOwner boolean
ProductInterest__c picklist(GC1000 series;GC5000 series;GC3000 series) "Product Interest"
Score__c double(5,1) "Score"
""",
    'Opportunity 006 "Opportunity" "Opportunities"': f"""
AccountId reference(Account) rel=Account "Account ID"
RecordTypeId reference(RecordType) rel=RecordType "Record Type ID"
IsPrivate boolean "Private"
Name string(120) required name
Description textarea(32000)
StageName picklist({STAGES}) required "Stage"
Amount currency(18,2)
Probability percent(3,0) "Probability (%)"
ExpectedRevenue currency(18,2) calc "Expected Amount"
TotalOpportunityQuantity double(18,2) "Quantity"
CloseDate date required
Type picklist({SALE_TYPES}) "Opportunity Type"
NextStep string(255)
LeadSource picklist({SOURCES})
IsClosed boolean ro "Closed"
IsWon boolean ro "Won"
ForecastCategory picklist({FORECASTS}) ro
ForecastCategoryName picklist({FORECASTS}) "Forecast Category"
CurrencyIsoCode picklist({CURRENCIES}) restricted
CampaignId reference(Campaign) rel=Campaign
HasOpportunityLineItem boolean ro "Has Line Item"
Pricebook2Id reference(Pricebook2) rel=Pricebook2 "Price Book ID"
OwnerId reference(User) rel=Owner default=me "Owner ID"
LastActivityDate date ro
LastStageChangeDate datetime ro
ContactId reference(Contact) create rel=Contact
OrderNumber__c string(8) "Order Number"
DeliveryInstallationStatus__c picklist(In progress;Yet to begin;Completed) "Delivery/Installation Status"
""",
    'OpportunityStage 01J "Opportunity Stage" "Opportunity Stage" ro nodeleted nobulk': f"""
MasterLabel string(255)
ApiName string(255)
IsActive boolean
SortOrder int
IsClosed boolean "Closed"
IsWon boolean "Won"
ForecastCategory picklist({FORECASTS})
ForecastCategoryName picklist({FORECASTS})
DefaultProbability percent(3,0)
Description string(255)
""",
    'OpportunityHistory 008 "Opportunity: Stage History" "Opportunity: Stage History" ro nosystem': f"""
OpportunityId reference(Opportunity) rel=Opportunity
CreatedById reference(User) ro rel=CreatedBy
CreatedDate datetime ro
StageName picklist({STAGES})
Amount currency(18,2)
ExpectedRevenue currency(18,2)
CloseDate date
Probability percent(3,0)
ForecastCategory picklist({FORECASTS})
CurrencyIsoCode picklist({CURRENCIES})
SystemModstamp datetime ro
""",
    'OpportunityFieldHistory 017 "Opportunity Field History" "Opportunity Field History" ro nosystem': """
OpportunityId reference(Opportunity) rel=Opportunity
CreatedById reference(User) ro rel=CreatedBy
CreatedDate datetime ro
Field picklist(created;Amount;CloseDate;StageName;Owner)
DataType picklist(Text;DynamicEnum;Currency;DateOnly;EntityId)
OldValue anyType nofilter
NewValue anyType nofilter
""",
    'OpportunityContactRole 00K "Opportunity Contact Role" "Opportunity Contact Role"': f"""
OpportunityId reference(Opportunity) required create rel=Opportunity
ContactId reference(Contact) required create rel=Contact
Role picklist({ROLES})
IsPrimary boolean "Primary"
CurrencyIsoCode picklist({CURRENCIES}) ro
""",
    'Product2 01t "Product" "Products"': """
Name string(255) required name "Product Name"
ProductCode string(255)
Description textarea(4000) "Product Description"
IsActive boolean "Active"
Family picklist(Hardware;Software;Services;None)
CurrencyIsoCode picklist(USD;EUR;GBP;JPY;CHF;BRL) restricted
ExternalId string(255)
DisplayUrl url
QuantityUnitOfMeasure picklist(Each;Hour;Kilogram)
StockKeepingUnit string(180) "Product SKU"
IsArchived boolean ro
""",
    'Pricebook2 01s "Price Book" "Price Books"': """
Name string(255) required name "Price Book Name"
Description string(255)
IsActive boolean "Active"
IsStandard boolean ro "Is Standard Price Book"
IsArchived boolean ro
""",
    'PricebookEntry 01u "Price Book Entry" "Price Book Entries"': """
Name string(255) ro name "Product Name"
Pricebook2Id reference(Pricebook2) required create rel=Pricebook2
Product2Id reference(Product2) required create rel=Product2
UnitPrice currency(16,2) required "List Price"
CurrencyIsoCode picklist(USD;EUR;GBP;JPY;CHF;BRL) create restricted
IsActive boolean "Active"
UseStandardPrice boolean
ProductCode string(255) ro
IsArchived boolean ro
""",
    'OpportunityLineItem 00k "Opportunity Product" "Opportunity Product"': """
OpportunityId reference(Opportunity) required create rel=Opportunity
SortOrder int ro
PricebookEntryId reference(PricebookEntry) create rel=PricebookEntry
Product2Id reference(Product2) create rel=Product2
ProductCode string(255) ro
Name string(376) ro name "Opportunity Product Name"
Quantity double(12,2) required
TotalPrice currency(16,2)
UnitPrice currency(16,2) "Sales Price"
ListPrice currency(16,2) ro
Discount percent(5,2)
ServiceDate date
Description string(255) "Line Description"
CurrencyIsoCode picklist(USD;EUR;GBP;JPY;CHF;BRL) ro
""",
    'Campaign 701 "Campaign" "Campaigns"': f"""
Name string(80) required name
ParentId reference(Campaign) rel=Parent
Type picklist(Conference;Webinar;Trade Show;Public Relations;Partners;Referral Program;Advertisement;Direct Mail;Email;Other)
Status picklist(Planned;In Progress;Completed;Aborted)
StartDate date
EndDate date
CurrencyIsoCode picklist({CURRENCIES}) restricted
ExpectedRevenue currency(18,0)
BudgetedCost currency(18,0)
ActualCost currency(18,0)
ExpectedResponse percent(10,2)
NumberSent double(18,0)
IsActive boolean "Active"
Description textarea(32000)
NumberOfLeads int ro
NumberOfContacts int ro
OwnerId reference(User) rel=Owner default=me
LastActivityDate date ro
""",
    'CampaignMemberStatus 01Y "Campaign Member Status" "Campaign Member Status"': """
Label string(255) required
CampaignId reference(Campaign) required create
SortOrder int
HasResponded boolean
IsDefault boolean
""",
    'CampaignMember 00v "Campaign Member" "Campaign Member"': """
CampaignId reference(Campaign) required create rel=Campaign
LeadId reference(Lead) create rel=Lead
ContactId reference(Contact) create rel=Contact
Status picklist(Planned;Received;Responded;Sent)
HasResponded boolean ro
FirstRespondedDate date ro
""",
    'Case 500 "Case" "Cases"': """
CaseNumber string(30) auto name
ContactId reference(Contact) rel=Contact
AccountId reference(Account) rel=Account
RecordTypeId reference(RecordType) rel=RecordType "Record Type ID"
ParentId reference(Case) rel=Parent
SuppliedName string(80)
SuppliedEmail email
SuppliedPhone string(40)
SuppliedCompany string(80)
Type picklist(Mechanical;Electrical;Electronic;Structural;Other)
Status picklist(New;Working;Escalated;Closed)
Reason picklist(Installation;Equipment Complexity;Performance;Breakdown;Equipment Design;Feedback;Other)
Origin picklist(Email;Phone;Web)
Subject string(255)
Priority picklist(High;Medium;Low)
Description textarea(32000)
IsClosed boolean ro "Closed"
ClosedDate datetime ro
IsEscalated boolean "Escalated"
OwnerId reference(Group|User) rel=Owner default=me
""",
    'CaseComment 00a "Case Comment" "Case Comments"': """
ParentId reference(Case) required create rel=Parent
IsPublished boolean "Published"
CommentBody textarea(4000) "Body"
""",
    'Task 00T "Task" "Tasks"': f"""
WhoId reference(Contact|Lead) rel=Who "Name ID"
WhatId reference({WHAT}) rel=What "Related To ID"
WhoCount int ro
WhatCount int ro
Subject combobox(Call;Send Letter;Send Quote;Email;Other)
ActivityDate date "Due Date Only"
Status picklist(Not Started;In Progress;Completed;Waiting on someone else;Deferred) required default=first
Priority picklist(High;Normal;Low) required default=Normal
IsHighPriority boolean ro
OwnerId reference(Group|User) rel=Owner default=me "Assigned To ID"
Description textarea(32000)
Type picklist(Call;Meeting;Other;Email)
AccountId reference(Account) ro rel=Account
IsClosed boolean ro "Closed"
IsArchived boolean ro "Archived"
CallDurationInSeconds int "Call Duration"
CallType picklist(Internal;Inbound;Outbound)
CallDisposition string(255) "Call Result"
CallObject string(255)
ReminderDateTime datetime
IsReminderSet boolean
CompletedDateTime datetime ro
TaskSubtype picklist(Task;Email;ListEmail;Cadence;Call;LinkedIn) create
CurrencyIsoCode picklist({CURRENCIES}) restricted
""",
    'Event 00U "Event" "Events"': f"""
WhoId reference(Contact|Lead) rel=Who "Name ID"
WhatId reference({WHAT}) rel=What "Related To ID"
WhoCount int ro
WhatCount int ro
Subject combobox(Call;Email;Meeting;Send Letter/Quote;Other)
Location string(255)
IsAllDayEvent boolean "All-Day Event"
ActivityDateTime datetime
ActivityDate date "Due Date Only"
DurationInMinutes int
StartDateTime datetime
EndDateTime datetime
EndDate date ro
Description textarea(32000)
AccountId reference(Account) ro rel=Account
OwnerId reference(User) rel=Owner default=me "Assigned To ID"
Type picklist(Call;Email;Meeting;Other)
IsPrivate boolean "Private"
ShowAs picklist(Busy;OutOfOffice;Free)
IsChild boolean ro
IsArchived boolean ro
IsRecurrence boolean create
RecurrenceActivityId reference(Event) ro
ReminderDateTime datetime
IsReminderSet boolean
CurrencyIsoCode picklist({CURRENCIES}) restricted
""",
    'Note 002 "Note" "Notes"': """
ParentId reference(Account|Contact|Lead|Opportunity|Case|Property__c) required create rel=Parent
Title string(80) required name
IsPrivate boolean "Private"
Body textarea(32000)
OwnerId reference(User) rel=Owner default=me
""",
    'Attachment 00P "Attachment" "Attachments"': """
ParentId reference(Account|Contact|Lead|Opportunity|Case|Task|Event|Property__c) required create rel=Parent
Name string(255) required name "File Name"
IsPrivate boolean "Private"
ContentType string(120)
BodyLength int ro
Body base64 required
OwnerId reference(User) rel=Owner default=me
Description textarea(500)
""",
    'ContentVersion 068 "Content Version" "Content Versions" nodelete': """
ContentDocumentId reference(ContentDocument) create rel=ContentDocument
IsLatest boolean ro
ContentUrl url
VersionNumber string(20) ro
Title string(255) required name
Description textarea(1000)
ReasonForChange string(1000)
PathOnClient string(500) create
RatingCount int ro
ContentModifiedDate datetime ro
ContentModifiedById reference(User) ro rel=ContentModifiedBy
OwnerId reference(User) create rel=Owner default=me
TagCsv textarea(2000)
FileType string(20) ro
PublishStatus picklist(U;P;R) ro
VersionData base64 create
ContentSize int ro "Size"
FileExtension string(40) ro
FirstPublishLocationId reference(User|Account|Contact|Lead|Opportunity|Case|Property__c) create rel=FirstPublishLocation
Origin picklist(C;H) create
ContentLocation picklist(S;E;L) create
Checksum string(50) ro
IsMajorVersion boolean create
""",
    'ContentDocument 069 "Content Document" "Content Documents"': """
Title string(255) required name
Description textarea(1000)
OwnerId reference(User) rel=Owner
IsArchived boolean ro
PublishStatus picklist(U;P;R) ro
LatestPublishedVersionId reference(ContentVersion) ro rel=LatestPublishedVersion
ParentId string(18)
FileType string(20) ro
ContentSize int ro
FileExtension string(40) ro
ContentModifiedDate datetime ro
""",
    'ContentDocumentLink 06A "Content Document Link" "Content Document Link" nosystem': f"""
LinkedEntityId reference({LINKED}) required create rel=LinkedEntity
ContentDocumentId reference(ContentDocument) required create rel=ContentDocument
ShareType picklist(V;C;I)
Visibility picklist(AllUsers;InternalUsers;SharedUsers)
SystemModstamp datetime ro required
""",
    'ContentNote 069 "Note" "Notes"': """
Title string(255) required name
Content base64
TextPreview string(255) ro
OwnerId reference(User) rel=Owner default=me
ContentSize int ro
FileType string(20) ro
FileExtension string(40) ro
LatestPublishedVersionId reference(ContentVersion) ro
IsReadOnly boolean ro
""",
    'Broker__c a00 "Broker" "Brokers"': """
Name string(80) required name "Broker Name"
OwnerId reference(Group|User) rel=Owner default=me
Broker_Id__c double(18,0) extid unique "Broker Id"
Title__c string(100) "Title"
Phone__c phone "Phone"
Mobile_Phone__c phone "Mobile Phone"
Email__c email "Email"
Picture__c url "Picture"
""",
    'Property__c a01 "Property" "Properties"': f"""
Name string(80) required name "Property Name"
OwnerId reference(Group|User) rel=Owner default=me
RecordTypeId reference(RecordType) rel=RecordType "Record Type ID"
Reference__c string(20) extid unique case "Reference"
Address__c string(100) "Address"
City__c string(50) "City"
State__c string(50) "State"
Zip__c string(10) "Zip"
Price__c currency(18,0) "Price"
Assessed_Value__c currency(18,0) "Assessed Value"
CurrencyIsoCode picklist({CURRENCIES}) restricted
Price_Sold__c currency(16,2) "Price Sold"
Beds__c double(3,0) "Beds"
Baths__c double(3,1) "Baths"
Commission__c percent(5,2) "Commission"
Status__c picklist(Available;Under Agreement;Contracted;Closed) restricted "Status"
Tags__c multipicklist(victorian;colonial;contemporary;water front;city) "Tags"
Location__c location "Location"
Date_Listed__c date "Date Listed"
Date_Closed__c date "Date Closed"
Viewing_At__c datetime "Viewing At"
Furnished__c boolean "Furnished"
Description__c textarea(32768) html "Description"
Broker__c reference(Broker__c) rel=Broker__r "Broker"
Buyer__c reference(Contact) rel=Buyer__r "Buyer"
Picture__c url "Picture"
Thumbnail__c url "Thumbnail"
Days_On_Market__c double(18,0) calc "Days On Market"
""",
}


def standard_objects() -> dict[str, ObjectType]:
    """A fresh copy of every object; each org may change its own."""
    return {item.name: item.copy() for item in _templates()}


@cache
def _templates() -> tuple[ObjectType, ...]:
    return tuple(_parse(header, lines) for header, lines in (OBJECTS | shared.OBJECTS).items())


def _parse(header: str, lines: str) -> ObjectType:
    result = parse_object(header, lines.replace("@person\n", ""))
    if "@person\n" in lines:
        _insert_names(result)
    return result


def _insert_names(target: ObjectType) -> None:
    """Put the parts of a person's name in front of the object's other fields, as describe lists them."""
    own = list(target.fields.values())[1:]
    for item in own:
        target.remove(item.name)
    for item in (*person_name(), *own):
        if item.name not in {"Salutation"} or target.name != "User":
            target.add(item)
