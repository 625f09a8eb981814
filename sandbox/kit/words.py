"""Invented names, places and phrases to draw from: many scripts, and the accents, marks and directions that trip software."""

from __future__ import annotations


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST = _split(
    "Anna Ben Carla David Elena Felix Grace Henry Ines Jonas Kavya Liam Maria Noah Olivia Pedro Quinn Rosa Samuel Tessa Umar Vera "
    "Walter Xenia Yusuf Zoe Aaliyah Bjørn Chloé Dmitri Émilie Françoise Günther Håkon Íñigo José Katarzyna Łukasz Márta Nguyễn "
    "Øyvind Renée Søren Tomáš Zdeněk Siobhán Jean-Luc Mary-Ann D'Arcy Ana‐Sofía"
)
LAST = (
    *_split(
        "Adams Baker Chen Diaz Evans Fischer Garcia Hughes Ivanov Jensen Khan Lopez Müller Nowak O'Brien Patel Quist Rossi Smith "
        "Tanaka Ueda Vargas Weber Xu Young Zimmermann Nuñez Sørensen Świątek Dvořák Håkansson Lefèvre García-Márquez "
        "McDonald MacLeod Bjørnsen Öztürk Đặng Kowalczyk Ó'Súilleabháin Papadopoulos Grönqvist"
    ),
    "van der Berg",
    "de la Cruz",
    "von Hohenfels",
    "St. John",
)
FOREIGN = (
    ("太郎", "山田"),
    ("小明", "王"),
    ("지훈", "김"),
    ("محمد", "العلي"),
    ("שרה", "כהן"),
    ("Ольга", "Петрова"),
    ("प्रिया", "शर्मा"),
    ("Zoë 🌟", "Lindqvist"),
    ("Jose\u0301", "Nu\u0301n\u0303ez"),
    ("Νίκος", "Παπαδόπουλος"),
    ("สมชาย", "ใจดี"),
    ("\u202bليلى\u202c", "حداد"),
)
STEMS = _split(
    "Aurora Borealis Cobalt Delphi Ember Fjord Granite Harbor Indigo Juniper Krypton Lumen Meridian Nimbus Orchid Pinnacle Quartz "
    "Redwood Summit Tundra Umbra Vertex Willow Zephyr Alpine Beacon Cascade Dynamo Evergreen Falcon"
)
TRADES = _split(
    "Analytics Automotive Bakery Biotech Capital Ceramics Chemicals Consulting Dental Energy Foods Freight Health Insurance "
    "Interiors Labs Logistics Media Metals Optics Outfitters Pharma Plastics Robotics Shipping Software Solar Textiles Travel Works"
)
FORMS = ("Inc.", "LLC", "GmbH", "Ltd", "S.A.", "AB", "Oy", "株式会社", "Corp", "& Sons", "Group", "B.V.")
DOMAINS = (
    "example.com",
    "example.org",
    "example.net",
    "mail.example",
    "corp.example",
    "kontor.example",
    "firma.example",
)
PLACES = (
    ("1 Market St", "San Francisco", "CA", "94105", "USA"),
    ("20 Cooper Sq", "New York", "NY", "10003", "United States"),
    ("Unter den Linden 5", "Berlin", "", "10117", "Germany"),
    ("12 rue de Rivoli", "Paris", "Île-de-France", "75001", "France"),
    ("3-1 Marunouchi", "Tokyo", "東京都", "100-0005", "Japan"),
    ("77 King William St", "London", "", "EC4N 7BN", "UK"),
    ("Rua Augusta 900", "São Paulo", "SP", "01304-001", "Brasil"),
    ("Bahnhofstrasse 1", "Zürich", "ZH", "8001", "CH"),
    ("Flat 2\nThe Old Mill\nMill Lane", "Bath", "Somerset", "BA1 1AA", "United Kingdom"),
    ("12 Main", "Boston", "Mass.", "02108", "U.S.A."),
)
TITLES = (
    "CEO",
    "CTO",
    "VP Sales",
    "VP, Marketing",
    "Buyer",
    "Head of Procurement",
    "Engineer",
    "Office Manager",
    "Directeur général",
    "Geschäftsführer",
    "Student",
    "Owner / Founder",
    "SVP & General Counsel",
)
SUBJECTS = (
    "Call",
    "Email",
    "Send Quote",
    "Follow up on proposal",
    "Demo",
    "Left voicemail",
    "Re: contract terms",
    "Intro call",
    "Renewal check-in",
    "Besprechung Angebot",
    "打ち合わせ",
    "Contract 📝 review",
)
PRODUCTS = (
    "GenWatt Diesel 10kW",
    "GenWatt Diesel 200kW",
    "GenWatt Propane 100kW",
    "GenWatt Gasoline 750kW",
    "SLA: Bronze",
    "SLA: Silver",
    "SLA: Gold",
    "SLA: Platinum",
    "Installation: Portable",
    "Installation: Industrial - High",
    "Solar Array M",
    "Solar Array XL",
)
HTML = (
    "<p>Spacious &amp; bright.</p><ul><li>New kitchen</li><li>Near the park</li></ul>",
    '<div style="color:red">Offer <b>ends soon</b><br/>Call <a href="https://example.com/?a=1&amp;b=2">us</a></div>',
    "<script>alert('x')</script><p>Legacy import</p>",
)
TEXTS = (
    "Met at the trade show; wants a quote for 3 sites.",
    "Prefers e-mail. Do not call before 10:00.",
    'Said: "we\'ll sign on Friday", then silence.',
    "Line one\nLine two\r\nLine three\twith a tab",
    "Umlaute äöü ß, 漢字, עברית, emoji 🚀👩‍💻",
    '=HYPERLINK("https://example.com")',
    'Comma, semicolon; quote " and pipe |',
)
BAD_EMAILS = (
    "n/a",
    "unknown@",
    "john.doe@example",
    "no email",
    "a@b@c.example",
    "anna(at)example.com",
    "tim@exa mple.com",
    "x@.example",
    "-",
)
