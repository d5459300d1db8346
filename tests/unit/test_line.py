"""The line of a magic: its options, its manual, and one line for what cannot be meant."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feast_nb.errors import UsageError
from feast_nb.integrations.mlflow import run_hooks
from feast_nb.magics import options
from feast_nb.magics.options import Help, options_of, pairs, read
from feast_nb.magics.training import FeastMagics
from feast_nb.notebook import dataflow

TRAIN, RUN, LOG, STORE = (
    FeastMagics.feast_train,
    FeastMagics.feast_run,
    FeastMagics.feast_log,
    FeastMagics.feast_store,
)
ALL = pytest.mark.parametrize("magic", [TRAIN, RUN, LOG, STORE], ids=lambda m: m.__name__)


def refused(magic, line: str) -> str:
    with pytest.raises(UsageError) as raised:
        read(magic, line)
    return str(raised.value)


def test_options_are_read() -> None:
    found = read(TRAIN, "v1 --service rates --entity-df drivers --alias a --alias b --no-archive")

    assert isinstance(found, Namespace)
    assert (found.name, found.service, found.entity_df) == ("v1", "rates", "drivers")
    assert (found.alias, found.no_archive, found.into) == (["a", "b"], True, "training_df")


def test_an_empty_line_is_all_defaults() -> None:
    found = read(RUN, "")

    assert isinstance(found, Namespace)
    assert (found.name, found.tag, found.end) == (None, None, False)


@pytest.mark.parametrize("line", ['--description "two words"', "--description 'two words'",
                                  "--description=two\\ words"])  # fmt: skip
def test_quotes_group_words(line: str) -> None:
    assert read(RUN, line).description == "two words"  # type: ignore[union-attr]


def test_a_text_that_begins_with_dashes_may_be_quoted() -> None:
    assert read(RUN, '--description="--fast, at last"').description == "--fast, at last"  # type: ignore[union-attr]


@pytest.mark.parametrize("line", ["v1 --description it's", 'v1 "half', "v1 \\"])
def test_a_quote_that_never_ends_is_one_line(line: str) -> None:
    said = refused(RUN, line)

    assert said.startswith("%feast_run: no ")
    assert line in said


@ALL
@pytest.mark.parametrize("line", ["--help", "-h", "something --help", "--no-such --help"])
def test_help_is_the_manual_and_runs_nothing(magic, line: str) -> None:
    found = read(magic, line)

    assert isinstance(found, Help)
    assert "Examples" in repr(found)
    assert f"%{magic.__name__}" in repr(found)


@ALL
def test_the_manual_names_every_option(magic) -> None:
    manual = repr(read(magic, "--help"))

    assert [o for o in options_of(magic) if o not in manual] == []


@ALL
@pytest.mark.parametrize("line", ["--hlep", "--no-such-option", "--zzz"])
def test_an_unknown_option_is_named_with_a_way_on(magic, line: str) -> None:
    said = refused(magic, line)

    assert f"%{magic.__name__} has no option {line};" in said
    assert "did you mean" in said or "--help lists them" in said


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("--servce", "--service"), ("--entity_df", "--entity-df"), ("--registr", "--register"),
     ("--aliass=x", "--alias")],
)  # fmt: skip
def test_a_misspelt_option_is_put_right(typed: str, meant: str) -> None:
    assert f"did you mean {meant}?" in refused(TRAIN, f"v1 {typed} x")


def test_an_option_cut_short_is_not_guessed() -> None:
    """argparse would take `--desc` for `--description`, until there is another `--desc…`."""
    assert "no option --desc;" in refused(RUN, "--desc x")


@pytest.mark.parametrize(
    ("magic", "line"),
    [(RUN, "--tag"), (RUN, "v1 v2"), (LOG, ""), (TRAIN, "--service"), (RUN, "--end=x")],
)
def test_what_argparse_refuses_is_one_line_with_the_manuals_name(magic, line: str) -> None:
    said = refused(magic, line)

    assert "\n" not in said
    assert f"%{magic.__name__} --help" in said


@given(st.text(max_size=40))
def test_a_line_is_read_or_refused_and_nothing_else(line: str) -> None:
    with contextlib.suppress(UsageError):
        assert isinstance(read(TRAIN, line), (Namespace, Help))


def test_pairs_are_cut_at_the_first_equals_sign() -> None:
    assert pairs(["a=b=c", "d="], "--tag") == {"a": "b=c", "d": ""}


def test_no_pairs_are_an_empty_dictionary() -> None:
    assert pairs(None, "--tag") == {}


def test_the_last_of_two_pairs_of_a_key_wins() -> None:
    assert pairs(["a=1", "a=2"], "--tag") == {"a": "2"}


@pytest.mark.parametrize(("item", "said"), [("team", "team=VALUE"), ("=x", "KEY=VALUE")])
def test_a_pair_without_a_key_or_value_is_refused(item: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"write --tag {said}"):
        pairs([item], "--tag")


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("v1 --register m  # my first run", "v1 --register m"),
        ("# only this", ""),
        ("m/1;", "m/1"),
        ("v1 --description 'it is # 1'  # not", "v1 --description 'it is # 1'"),
        ('v1 --description "a # b"', 'v1 --description "a # b"'),
        ("v1 --tag id=#5", "v1 --tag id=#5"),
        ("v1 --tag a\\'b # c", "v1 --tag a\\'b"),
    ],
)
def test_a_comment_and_a_semicolon_at_the_end_are_no_words(line: str, kept: str) -> None:
    assert options._without_comment(line) == kept


def test_a_backslash_goes_on_in_the_lines_below() -> None:
    assert dataflow.continued("v1 \\", "  --register m \\\n  --alias a\nx = 1\n") == (
        "v1  --register m  --alias a",
        "x = 1\n",
    )
    assert dataflow.magic_line("%%feast_train v1 \\\n --into df\nx = 1") == (
        "%%feast_train v1  --into df"
    )
    assert dataflow.without_magic("%%time\n%%feast_train v1 \\\n --into df\nx = 1") == "x = 1"
    assert dataflow.without_time("if a:\n  %time m = f(x)\n%time -r g()") == (
        "if a:\n  m = f(x)\n%time -r g()"
    )


@pytest.mark.parametrize("name", ["/Shared/churn", "..", "../../escape", "50% of #1?", "a:b", ""])
def test_an_experiment_whose_name_is_no_folders_has_one_like_it(name: str) -> None:
    folder = run_hooks.folder_of(name)

    assert not {"/", "\\", "%", "#", "?", ":", ".."} & set(folder)
    assert Path("/root", folder).resolve().parent == Path("/root")
    assert folder != run_hooks.folder_of(f"{name} ")
    assert run_hooks.folder_of("drivers v1.2") == "drivers v1.2"
