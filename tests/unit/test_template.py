"""Keys of cached functions: filled in as Python itself would bind the arguments."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillgate import Cache, parse_policy
from spillgate.cache.template import KeyTemplate
from spillgate.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable


def f_two(a: Any, b: Any) -> None: ...
def f_default(a: Any, b: Any = "B") -> None: ...
def f_all_defaults(a: Any = "A", b: Any = None) -> None: ...
def f_positional_only(a: Any, b: Any = "B", /) -> None: ...
def f_mixed(a: Any, /, b: Any, *, c: Any = "C") -> None: ...
def f_keyword_only(*, a: Any, b: Any = "B") -> None: ...
def f_rest(a: Any, *b: Any, c: Any = "C") -> None: ...
def f_keywords(a: Any, **b: Any) -> None: ...
def f_all(a: Any, /, b: Any, *c: Any, d: Any = "D", **e: Any) -> None: ...
def f_none() -> None: ...


functions: list[Callable[..., None]] = [
    f_two, f_default, f_all_defaults, f_positional_only, f_mixed, f_keyword_only, f_rest, f_keywords, f_all, f_none,
]  # fmt: skip


def bound(template: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | type:
    """What Python says the arguments are, in the template; TypeError where it refuses them."""
    try:
        given_ones = inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return TypeError
    given_ones.apply_defaults()
    values = given_ones.arguments
    if template.count("}:") > 2:  # of {{key}}: and of more than one field
        values = {name: quoted(f"{value}") for name, value in values.items()}
    return template.format(**values)


def quoted(text: str) -> str:
    """With what the template below has between fields in the way of URLs."""
    for one in "%{}:":
        text = text.replace(one, f"%{ord(one):02X}")
    return text


def keyed(template: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | type:
    """What the template says."""
    try:
        return KeyTemplate(template, function)(*args, **kwargs)
    except TypeError:
        return TypeError


@pytest.mark.parametrize("function", functions, ids=lambda one: one.__name__)
@settings(max_examples=150)
@given(
    st.lists(st.sampled_from(["x", 5, None, "{y}", "50%:"]), max_size=4),
    st.dictionaries(st.sampled_from("abcde"), st.sampled_from(["k", 7]), max_size=4),
    st.data(),
)
def test_keys_are_what_python_binds_the_arguments_to(
    function: Callable[..., None], args: list[Any], kwargs: dict[str, Any], data: st.DataObject
) -> None:
    names = list(inspect.signature(function).parameters)
    fields = data.draw(st.lists(st.sampled_from(names), max_size=4)) if names else []
    template = "{{key}}:" + "".join(f"{{{name}}}:" for name in fields)
    assert keyed(template, function, tuple(args), kwargs) == bound(template, function, tuple(args), kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((), {}, "missing a required argument: 'a'"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((1,), {"a": 2}, "multiple values for argument 'a'"),
        ((1,), {"c": 2}, "got an unexpected keyword argument 'c'"),
        ((), {"b": 1}, "missing a required argument: 'a'"),
    ],
)
def test_arguments_that_the_function_would_not_take_are_a_type_error(args: Any, kwargs: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        KeyTemplate("{a}", f_default)(*args, **kwargs)


@dataclass
class User:
    name: str
    tags: list[str]


def test_parts_conversions_and_formats() -> None:
    def load(user: User, price: float = 1.5, digits: int = 2) -> None: ...

    jo = User("Jo", ["x", "y"])
    assert KeyTemplate("{user.name}:{user.tags[1]}", load)(jo) == "Jo:y"
    assert KeyTemplate("{user.name!r}:{price:.3f}", load)(jo) == "'Jo':1.500"
    assert KeyTemplate("{user.name!r}'{price:.3f}.{digits}", load)(jo) == "%27Jo%27'1%2E500.2"
    assert KeyTemplate("{user.tags}:{digits:>{price}}", load)(User("", ["a:b"]), 3) == "['a%3Ab']:  2"
    assert KeyTemplate("{price:.{digits}f}", load)(jo, 2, 1) == "2.0"
    assert KeyTemplate("{price:.{digits}f}", load)(jo, digits=4, price=2) == "2.0000"
    assert KeyTemplate("{{{digits}}}", load)(jo, 1, 5) == "{5}"
    assert KeyTemplate("constant", load)(jo) == "constant"
    assert KeyTemplate("", load)(jo, 1, 2) == ""


texts = st.text(st.sampled_from("ab1:/{}%3A→ü'\ud800"), max_size=6)


@pytest.mark.parametrize(
    "template", ["{a}:{b}", "{a}→%{b}", "x{{{a}}}{{{b}}}", "{a}3A/{b}/", "{b!s}:{a:s}", "%{a}:%3A{b}"]
)
@given(texts, texts, texts, texts)
def test_different_texts_give_different_keys(template: str, a: str, b: str, c: str, d: str) -> None:
    key = KeyTemplate(template, f_two)
    assert (key(a, b) == key(c, d)) == ((a, b) == (c, d))
    assert key(a, b=b) == key(b=b, a=a) == key(a, b)


def test_what_is_quoted_and_what_is_not() -> None:
    key = KeyTemplate("tenant:{a}:{b}", f_two)
    assert key("a", "b:c") == "tenant:a:b%3Ac"
    assert key("a:b", "c") == "tenant:a%3Ab:c"
    assert key("50%", "a/b") == "tenant:50%25:a/b"
    assert key(-1.5, ["x:y"]) == "tenant:-1.5:['x%3Ay']"
    assert key(1, None) == key("1", "None") == "tenant:1:None"
    assert KeyTemplate("{a}→{b}", f_two)("→", "") == "%E2%86%92→"
    assert KeyTemplate("tenant:{a}", f_two)("a:b%", 1) == "tenant:a:b%"


def test_arguments_that_the_template_does_not_name_are_not_even_looked_at() -> None:
    class Silent:
        def __format__(self, _: str) -> str:
            raise AssertionError

    def load(silent: Silent, a: str, b: str) -> None: ...

    assert KeyTemplate("{a}:{b}", load)(Silent(), "x", "y") == "x:y"
    assert KeyTemplate("{a}", load)(Silent(), "x", b="y") == "x"


def test_methods_name_their_instance() -> None:
    class Store:
        name = "s"

        def load(self, number: int) -> None: ...

    assert KeyTemplate("{self.name}:{number}", Store.load)(Store(), 5) == "s:5"
    assert KeyTemplate("{number}", Store().load)(5) == "5"


def test_wrapped_and_partial_functions_and_objects() -> None:
    @wraps(f_default)
    def wrapper(*args: Any, **kwargs: Any) -> None: ...

    class Loader:
        def __call__(self, number: int) -> None: ...

    assert KeyTemplate("{a}:{b}", wrapper)(1) == "1:B"
    assert KeyTemplate("{b}", partial(f_two, 1))(2) == "2"
    assert KeyTemplate("{a}:{b}", partial(f_two, b=2))(1) == "1:2"
    assert KeyTemplate("{number}", Loader())(5) == "5"
    with pytest.raises(ConfigError, match=r"names 'x', which is no parameter of .*Loader"):
        KeyTemplate("{x}", Loader())


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{c}", r"the key '\{c\}' names 'c', which is no parameter of f_default: it has a, b"),
        ("{}", "names '', which is no parameter"),
        ("{0}", "names '0', which is no parameter"),
        ("{c.name}", "names 'c', which is no parameter"),
        ("{c[0]}", "names 'c', which is no parameter"),
        ("{a:{c}}", "names 'c', which is no parameter"),
        ("{a", r"the key '\{a' cannot be read: expected '\}' before end of string"),
        ("a}", "cannot be read: Single '}' encountered"),
        ("{a!}", "cannot be read: "),
        ("{a}{b}", r"has nothing that keeps \{b\} apart from what is before it, .*: put a \":\" between them"),
        ("{a}v{b}", r"has nothing that keeps \{b\} apart"),
        ("{a}%{b}", r"has nothing that keeps \{b\} apart"),
        ("x:{a}{a.name}:y", r"has nothing that keeps \{a.name\} apart"),
    ],
)
def test_a_template_that_cannot_be_filled_in_is_told_at_once(template: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        KeyTemplate(template, f_default)


def test_a_function_without_parameters_or_without_a_signature() -> None:
    with pytest.raises(ConfigError, match="names 'a', which is no parameter of f_none: it has none"):
        KeyTemplate("{a}", f_none)
    with pytest.raises(
        ConfigError, match=r"the key 'x' cannot be filled in: no signature found .*: give a function instead"
    ):
        KeyTemplate("x", dict[str, int].update)


def test_a_cached_method_has_the_keys_of_its_instance() -> None:
    policy = parse_policy('[[namespace]]\nname = "things"\nkeys = "app:things:*"\nttl = "1m"', "test")
    things = Cache(policy).namespace("things", int)

    class Store:
        def __init__(self, name: str) -> None:
            self.name = name

        @things.cached("{self.name}:{number}")
        def load(self, number: int = 5) -> int:
            """Load it."""
            return number

    one = Store("one")
    assert [one.load.key(3), one.load.key(), Store("two").load.key(number=3)] == ["one:3", "one:5", "two:3"]
    assert Store.load.key(one, 3) == "one:3"
    assert (one.load.__name__, one.load.__doc__, one.load.__module__) == ("load", "Load it.", __name__)
    assert one.load.__wrapped__(7) == Store.load.__wrapped__(one, 7) == 7
