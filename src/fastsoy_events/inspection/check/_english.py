"""English, as far as names of events need it: how a verb forms its past, and whether a word is a verb at all.

Rules of spelling come first. The lists hold what no rule tells: irregular verbs, and which of two words that look alike
is the verb.
"""

from __future__ import annotations

import re
from enum import IntEnum


class Kind(IntEnum):
    """What a word is, the more a verb the greater."""

    NOUN = 0
    UNKNOWN = 1
    OFTEN_A_VERB = 2
    VERB = 3


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


PARTICLES = word_set("about away back down in off on out over through up")
"""What belongs to a verb that stands before it: logged in, signed up."""

PREPOSITIONS = word_set("as at by for from into of onto to via with")
"""What begins the words that follow a verb: shipped to customer."""

_IRREGULAR_VERBS = word_set(
    "become:become begin:begun bet:bet bid:bid bind:bound break:broken bring:brought build:built buy:bought "
    "catch:caught choose:chosen come:come cost:cost cut:cut deal:dealt dig:dug do:done draw:drawn drive:driven "
    "eat:eaten fall:fallen feed:fed feel:felt fight:fought find:found fly:flown forbid:forbidden "
    "forget:forgotten forgive:forgiven freeze:frozen get:got give:given go:gone grow:grown hang:hung "
    "hear:heard hide:hidden hit:hit hold:held keep:kept know:known lay:laid lead:led leave:left lend:lent "
    "let:let lose:lost make:made mean:meant meet:met pay:paid put:put quit:quit read:read ride:ridden "
    "ring:rung rise:risen run:run say:said see:seen seek:sought sell:sold send:sent set:set shake:shaken "
    "shoot:shot show:shown shut:shut sing:sung sink:sunk sit:sat sleep:slept speak:spoken spend:spent "
    "split:split spread:spread stand:stood steal:stolen stick:stuck strike:struck swear:sworn take:taken "
    "teach:taught tell:told think:thought throw:thrown understand:understood wear:worn win:won write:written"
)
_IRREGULAR = {base: participle for base, _, participle in (pair.partition(":") for pair in _IRREGULAR_VERBS)}
_PREFIX = re.compile(r"(?:re|un|over|out|under|mis|pre|up|with|for)(?=[a-z]{3})")
_DONE = frozenset(_IRREGULAR.values())
_ALIKE = word_set(  # irregular verbs that are nouns as often
    "bet bid build cost cut deal draw drive fall feed hit lead leave read ride ring rise run set show split stand"
)

_NO_PAST = re.compile(r"(?:.*eed|bed|embed|hundred|red|shred|sled)")
_PAST_IN_EED = frozenset({"agreed", "disagreed", "freed", "guaranteed"})
_DOUBLES = re.compile(r"[^aeiou]*(?:qu)?[aeiou][bdfgklmnprstvz]")
_DOUBLES_WHEN_LONG = re.compile(r".*(?:(?<!li)mit|(?<!f)fer|cur|[^aeiou]el|rol|quip|format)")

_VERB = re.compile(r".{2,}(?:[^aeiou]ate|eate|iate|uate|[iy][sz]e|ify)")
_WITH_PARTICLE = re.compile(r"(?P<verb>check|log|opt|pay|roll|set|shut|sign)(?P<particle>back|down|in|out|up)")
_NOUN = re.compile(
    r".+(?:[^s]s|er|or|ee|ment|tion|sion|ness|ity|ance|ence|ship|hood|ism|ist|ing|ice|em|et|el|ary|ory|ery|try|cy|ny|ty"
    r"|gy|phy|age|ant|ent|ule|icle|word)"
)
_VERBS_LIKE_NOUNS = word_set(
    "administer advance agree alter answer appoint balance cancel compel consider copy cover defer deliver deny differ "
    "discover disagree dismiss empty encourage engage enter expel extinguish filter finance free gather grant "
    "guarantee honor implement influence invent manage meet monitor offer prefer present prevent propel query "
    "recover redeem refer reference register remember rent represent retry schedule sponsor supply target transfer "
    "trigger warrant"
)
_NOUNS_LIKE_VERBS = word_set(
    "advice affiliate aggregate candidate certificate climate coordinate corporate date delegate enterprise estate "
    "exercise expertise franchise gate merchandise plate premise private promise rate raise state template"
)
_NOUNS = word_set(  # and adjectives
    "account address article asset cart catalog city company contract course data desk device employee field goods "
    "house id invoice key menu month money name new next old password people person phone product profile project "
    "role room salary service session site stock store task team tenant token user vehicle wallet week year"
)
_VERBS = word_set(
    "accept add allow approve archive assign attach block clear close complete confirm convert delete disable "
    "dispatch download enable enroll expire export extend fail finish hire import install invite join launch lock "
    "merge move open post publish receive reject release remove rename renew replace request reset resolve restore "
    "resume return review revoke save ship start stop submit subscribe suspend upload unlock verify withdraw"
)


def past(verb: str) -> str:
    """Return the past participle of a verb in its base form.

    Args:
        verb: one word in lower case.

    Example:
        >>> [past(verb) for verb in ("create", "refund", "ship", "apply", "resend")]
        ['created', 'refunded', 'shipped', 'applied', 'resent']
    """
    prefix = _prefix(verb)
    stem = verb[len(prefix) :]
    if verb in _IRREGULAR or stem in _IRREGULAR:
        return _IRREGULAR.get(verb) or prefix + _IRREGULAR[stem]
    if verb.endswith("e"):
        return f"{verb}d"
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return f"{verb[:-1]}ied"
    if _DOUBLES.fullmatch(verb) or _DOUBLES_WHEN_LONG.fullmatch(verb) or (prefix and _is_short(stem)):
        return f"{verb}{verb[-1]}ed"
    return f"{verb}ed"


def with_particle(word: str) -> list[str]:
    """Part a word such as `login` into its verb and what belongs to it; any other word is left whole."""
    match = _WITH_PARTICLE.fullmatch(word)
    return list(match.groups()) if match else [word]


def _prefix(verb: str) -> str:
    match = _PREFIX.match(verb)
    return match[0] if match else ""


def _is_short(stem: str) -> bool:
    """Tell whether what follows a prefix is a verb such as `plug`, not the end of a word such as `render`."""
    return _DOUBLES.fullmatch(stem) is not None and not stem.endswith(("er", "en", "on", "or"))


def is_past(word: str) -> bool:
    """Tell whether a word may be the past participle of a verb.

    Args:
        word: in lower case.

    Example:
        >>> [word for word in ("created", "sent", "resent", "feed", "status") if is_past(word)]
        ['created', 'sent', 'resent']
    """
    if word in _DONE or word[len(_prefix(word)) :] in _DONE or word in _PAST_IN_EED:
        return True
    return word.endswith("ed") and len(word) > 3 and not _NO_PAST.fullmatch(word)


def kind(word: str) -> Kind:
    """Tell whether a word in its base form is a verb.

    Args:
        word: in lower case.

    Example:
        >>> kind("create").name, kind("refund").name, kind("order").name
        ('VERB', 'UNKNOWN', 'NOUN')
    """
    stem = word[len(_prefix(word)) :]
    if word in _NOUNS or word in _NOUNS_LIKE_VERBS:
        return Kind.NOUN
    if word in _ALIKE or word in _VERBS or word in _VERBS_LIKE_NOUNS:
        return Kind.OFTEN_A_VERB
    if word in _IRREGULAR or stem in _IRREGULAR or _VERB.fullmatch(word):
        return Kind.VERB
    if _NOUN.fullmatch(word):
        return Kind.NOUN
    return Kind.UNKNOWN
