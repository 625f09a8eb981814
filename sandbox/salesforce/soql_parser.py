"""SOQL text to `Query`. Refuses what the vendor refuses, in its words (MALFORMED_QUERY).

https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select.htm
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.soql_ast import Both, Call, Compare, Condition, Literal, Negation, Order, Path, Query, Typeof

MAX_LENGTH = 100_000

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*(?::\d+)?)
    | (?P<op><=|>=|!=|<>|[=<>(),])
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "'": "'", '"': '"', "\\": "\\"}
_RANGES = re.compile(
    r"^(YESTERDAY|TODAY|TOMORROW|(LAST|THIS|NEXT)_(WEEK|MONTH|90_DAYS|QUARTER|YEAR)|(LAST|NEXT)_N_(DAYS|WEEKS|MONTHS|YEARS):\d+)$"
)
_CLAUSES = {"WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "FOR", "ALL", "USING", "WITH"}
COMPARISONS = {"=", "!=", "<>", "<", "<=", ">", ">="}
AGGREGATES = {"COUNT", "COUNT_DISTINCT", "MIN", "MAX", "SUM", "AVG"}


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    at: int


def error_at(query: str, at: int, message: str) -> str:
    """The vendor's picture of where a query went wrong: the text, a caret below it, row and column."""
    row = query.count("\n", 0, at) + 1
    column = at - (query.rfind("\n", 0, at) + 1) + 1
    lines = query.split("\n")
    start = max(0, column - 60)
    excerpt = lines[row - 1][start : column + 40] if lines else ""
    return f"\n{excerpt}\n{' ' * (column - 1 - start)}^\nERROR at Row:{row}:Column:{column}\n{message}"


def malformed(query: str, at: int, message: str) -> ApiError:
    return ApiError("MALFORMED_QUERY", error_at(query, at, message))


def parse(text: str) -> Query:
    """The query that ``text`` says. Raises ApiError MALFORMED_QUERY."""
    if len(text) > MAX_LENGTH:
        raise ApiError("QUERY_TOO_COMPLICATED", f"SOQL statements cannot be longer than {MAX_LENGTH} characters.")
    parser = _Parser(text)
    query = parser.query()
    if parser.peek() is not None:
        raise parser.unexpected()
    return query


def unescape(quoted: str) -> str:
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m.group(1), "\\" + m.group(1)), quoted[1:-1], flags=re.DOTALL)


class _Parser:
    """Recursive descent over the tokens of one query."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._scan())
        self.position = 0

    def _scan(self) -> list[Token]:
        tokens, at, end = [], 0, len(self.text.rstrip())
        while at < end:
            match = _TOKEN.match(self.text, at)
            if match is None:
                spaces = len(self.text) - len(self.text[at:].lstrip())
                raise malformed(self.text, spaces, f"unexpected token: '{self.text[spaces]}'")
            kind = str(match.lastgroup)
            tokens.append(Token(kind, match.group(kind), match.start(kind)))
            at = match.end()
        return tokens

    # ------------------------------------------------------------ tokens

    def peek(self, ahead: int = 0) -> Token | None:
        index = self.position + ahead
        return self.tokens[index] if index < len(self.tokens) else None

    def take(self) -> Token:
        token = self.peek()
        if token is None:
            raise self.unexpected()
        self.position += 1
        return token

    def at_word(self, *words: str) -> bool:
        token = self.peek()
        return token is not None and token.kind == "word" and token.text.upper() in words

    def accept(self, text: str) -> bool:
        token = self.peek()
        if token is None or token.kind == "string" or token.text.upper() != text:
            return False
        self.position += 1
        return True

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise self.unexpected()

    def unexpected(self) -> ApiError:
        token = self.peek()
        if token is None:
            return malformed(self.text, max(len(self.text) - 1, 0), "unexpected token: <EOF>")
        return malformed(self.text, token.at, f"unexpected token: '{token.text}'")

    # ------------------------------------------------------------ clauses

    def query(self) -> Query:
        self.expect("SELECT")
        select = [self.select_item()]
        while self.accept(","):
            select.append(self.select_item())
        self.expect("FROM")
        source = self.path()
        alias = None if self.peek() is None or not self.at_alias() else self.take().text
        self.using_scope()
        where = self.condition() if self.accept("WHERE") else None
        self.skip_security()
        group = self.group_by()
        having = self.condition() if self.accept("HAVING") else None
        order = self.order_by()
        limit = self.number() if self.accept("LIMIT") else None
        offset = self.number() if self.accept("OFFSET") else 0
        self.skip_purpose()
        return Query(tuple(select), source, where, group, having, order, limit, offset, alias)

    def at_alias(self) -> bool:
        token = self.peek()
        return token is not None and token.kind == "word" and token.text.upper() not in _CLAUSES

    def using_scope(self) -> None:
        if self.accept("USING"):
            self.expect("SCOPE")
            self.take()

    def skip_security(self) -> None:
        if self.accept("WITH"):
            self.take()

    def skip_purpose(self) -> None:
        if self.accept("FOR") and not (self.accept("VIEW") or self.accept("REFERENCE") or self.accept("UPDATE")):
            raise self.unexpected()

    def select_item(self) -> Path | Call | Typeof | Query:
        if self.accept("("):
            query = self.query()
            self.expect(")")
            return query
        if self.accept("TYPEOF"):
            return self.typeof()
        return self.operand(alias=True)

    def typeof(self) -> Typeof:
        relation, branches = self.path(), []
        otherwise: tuple[Path, ...] = ()
        while self.accept("WHEN"):
            name = self.path().text
            self.expect("THEN")
            branches.append((name, self.paths()))
        if self.accept("ELSE"):
            otherwise = self.paths()
        self.expect("END")
        return Typeof(relation, tuple(branches), otherwise)

    def paths(self) -> tuple[Path, ...]:
        found = [self.path()]
        while self.accept(","):
            found.append(self.path())
        return tuple(found)

    def path(self) -> Path:
        token = self.take()
        if token.kind != "word" or ":" in token.text:
            self.position -= 1
            raise self.unexpected()
        return Path(tuple(token.text.split(".")), token.at)

    def operand(self, alias: bool = False) -> Path | Call:
        """A field, or a function of one."""
        path = self.path()
        if not self.accept("("):
            return path
        argument = None if self.peek() is not None and self.accept(")") else self.path()
        if argument is not None:
            self.expect(")")
        name = self.take().text if alias and self.at_alias() and not self.at_word("FROM") else None
        return Call(path.text.upper(), argument, name, path.at)

    def group_by(self) -> tuple[Path, ...]:
        if not self.accept("GROUP"):
            return ()
        self.expect("BY")
        return self.paths()

    def order_by(self) -> tuple[Order, ...]:
        if not self.accept("ORDER"):
            return ()
        self.expect("BY")
        orders = [self.one_order()]
        while self.accept(","):
            orders.append(self.one_order())
        return tuple(orders)

    def one_order(self) -> Order:
        by = self.operand()
        descending = not self.accept("ASC") and self.accept("DESC")
        last = False
        if self.accept("NULLS"):
            last = self.accept("LAST")
            if not last:
                self.expect("FIRST")
        return Order(by, descending, last)

    def number(self) -> int:
        token = self.take()
        if token.kind != "number" or not token.text.isdigit():
            self.position -= 1
            raise self.unexpected()
        return int(token.text)

    # ------------------------------------------------------------ conditions

    def condition(self) -> Condition:
        parts = [self.term()]
        operator = ""
        while self.at_word("AND", "OR"):
            token = self.take()
            if operator and token.text.upper() != operator:
                raise malformed(self.text, token.at, f"unexpected token: '{token.text}'")
            operator = token.text.upper()
            parts.append(self.term())
        return parts[0] if len(parts) == 1 else Both(operator, tuple(parts))

    def term(self) -> Condition:
        if self.accept("NOT"):
            return Negation(self.term())
        if self.accept("("):
            inner = self.condition()
            self.expect(")")
            return inner
        return self.comparison()

    def comparison(self) -> Compare:
        left = self.operand()
        token = self.take()
        operator = token.text.upper()
        if operator in COMPARISONS or operator == "LIKE":
            return Compare(left, "!=" if operator == "<>" else operator, self.literal())
        if operator == "NOT":
            self.expect("IN")
            return Compare(left, "NOT IN", self.choices())
        if operator in {"IN", "INCLUDES", "EXCLUDES"}:
            return Compare(left, operator, self.choices())
        self.position -= 1
        raise self.unexpected()

    def choices(self) -> tuple[Literal, ...] | Query:
        self.expect("(")
        if self.at_word("SELECT"):
            query = self.query()
            self.expect(")")
            return query
        found = [self.literal()]
        while self.accept(","):
            found.append(self.literal())
        self.expect(")")
        return tuple(found)

    def literal(self) -> Literal:
        token = self.take()
        if token.kind == "string":
            return Literal("string", unescape(token.text), token.at)
        if token.kind in {"number", "date", "datetime"}:
            return Literal(token.kind, token.text, token.at)
        word = token.text.upper()
        if word in {"TRUE", "FALSE"}:
            return Literal("boolean", word.lower(), token.at)
        if word == "NULL":
            return Literal("null", "", token.at)
        if _RANGES.match(word):
            return Literal("range", word, token.at)
        if re.match(r"^[A-Z]{3}\d+$", word):
            return Literal("number", word[3:], token.at)
        self.position -= 1
        raise self.unexpected()
