"""Study files: options of `run` kept in a TOML file, read as if they had been typed.

A key is an option without its dashes. What is typed beside `--config` wins, option by option;
options that may be repeated add up, and a `--set` wins over the file's for the same knob.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _options as opt

if TYPE_CHECKING:
    from bench.errors import UsageError
    from bench.study.study import Study

_FILE = "bench.study_file"
"""Where a context keeps what its study file says: option's parameter name -> value."""


def take_file(ctx: typer.Context, file: Path | None) -> Path | None:
    """Let the values of a study file stand in for options that are not typed."""
    if file is not None:
        ctx.meta[_FILE] = values = read_study_file(ctx, file)
        once = {name: value for name, value in values.items() if not isinstance(value, list)}
        ctx.default_map = {**(ctx.default_map or {}), **once}
    return file


def add_file(ctx: typer.Context, param: typer.CallbackParam, typed: list[Any] | None) -> list[Any]:
    """Put what is typed of an option that may be repeated behind what the study file says."""
    return [*ctx.meta.get(_FILE, {}).get(param.name, []), *(typed or [])]


Config = Annotated[
    Path | None,
    typer.Option(
        is_eager=True,
        callback=take_file,
        metavar="STUDY.TOML",
        help="Options from a file, e.g. studies/table1.toml; typed ones win.",
    ),
]

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", callback=add_file, help="SECTION.KEY=VALUE, e.g. train.lr=0.003; repeat."
    ),
]

Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin", callback=add_file, help="FILE.py of a method or dataset from elsewhere; repeat."
    ),
]

Slurm = Annotated[
    list[str] | None,
    typer.Option(callback=add_file, help="KEY=VALUE for sbatch, e.g. partition=gpu; repeat."),
]


def read_study_file(ctx: typer.Context, file: Path) -> dict[str, Any]:
    """Read a study file into values of `run`'s options, by parameter name.

    Raises UsageError, naming the file, for a key that is no option (with the closest one) and a
    value that the option does not take.
    """
    from bench.errors import UsageError, unknown_name

    options = _options(ctx)
    values = {}
    for key, value in _parsed(file).items():
        name = key.replace("_", "-")
        if name not in options:
            raise UsageError(f"{file}: {unknown_name('key', key, options)}")
        try:
            values[options[name].name] = _converted(ctx, options[name], value)
        except typer.BadParameter as error:
            raise UsageError(f"{file}: {key} = {value!r}: {error.message}") from None
        except ValueError as error:
            raise UsageError(f"{file}: {key} = {value!r}: {error}") from None
    return values


def study_of_file(ctx: typer.Context, file: Path, **instead: Any) -> Study:
    """Build the study that a file asks for, with some of its options given; raises UsageError."""
    ctx.meta[_FILE] = values = read_study_file(ctx, file)
    asked = {option.name: option.default for option in _options(ctx).values()}
    return checked_study(ctx, {**asked, **values, **instead}, file)


def checked_study(ctx: typer.Context, asked: Mapping[str, Any], file: Path | None) -> Study:
    """Build the study that options ask for, by parameter name; some may come from a study file.

    Raises UsageError, which names the file and the key in it if that is where the flaw is.
    """
    from bench.errors import UsageError
    from bench.study.tuned import with_search

    try:
        study = _study(asked)
    except UsageError as error:
        raise UsageError(f"{_key_to_blame(ctx, asked, error, file)}{error}") from None
    return with_search(study, asked["tuned"]) if asked.get("tuned") else study


def _study(asked: Mapping[str, Any]) -> Study:
    from bench.study.study import make_study

    flags = [f"data.val_subjects={asked['val_subjects']}"] if asked["val_subjects"] else []
    flags += ["train.keep_weights=true"] if asked["keep_weights"] else []
    return make_study(
        dataset=asked["dataset"],
        methods=opt.split_commas(asked["methods"]),
        ratios=opt.split_commas(asked["ratios"]),
        folds=opt.whole_numbers("--folds", asked["folds"]),
        seeds=opt.whole_numbers("--seeds", asked["seeds"]),
        rules=opt.split_commas(asked["rule"]),
        preset=asked["preset"],
        knobs=[*flags, *(asked["settings"] or [])],
        root=asked["root"],
        results=asked["results"],
        cache=asked["cache"],
        plugins=asked["plugins"] or [],
        deterministic=asked["deterministic"],
    )


def _key_to_blame(
    ctx: typer.Context, asked: Mapping[str, Any], error: UsageError, file: Path | None
) -> str:
    """Name the key of the study file without which the error would not come up; "" if none."""
    from bench.errors import UsageError

    for said, rest in _without_each(ctx, asked):
        try:
            _study(rest)
        except UsageError as other:
            if str(other) == str(error):
                continue
        return f"{file}: {said}: "
    return ""


def _without_each(
    ctx: typer.Context, asked: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    from_file = ctx.meta.get(_FILE, {})
    for key, option in _options(ctx).items():
        name = option.name
        value = from_file.get(name)
        if isinstance(value, list):
            for item in value:
                yield f"{key} {item}", {**asked, name: [x for x in asked[name] if x != item]}
        elif name in from_file and asked.get(name) == value:
            yield key, {**asked, name: option.default}


def _parsed(file: Path) -> dict[str, Any]:
    from bench.errors import UsageError

    try:
        content = file.read_bytes()
        # numbers stay as they are written: a ratio's spelling is part of a cell's name
        return tomllib.loads(content.decode("utf-8-sig").replace("\r\n", "\n"), parse_float=str)
    except OSError as error:
        raise UsageError(f"--config {file}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        line = content.count(b"\n", 0, error.start) + 1
        what = "UTF-16 text" if utf16 else f"not UTF-8 text (line {line})"
        raise UsageError(f"--config {file} is {what}: save it as UTF-8") from None
    except ValueError as error:
        raise UsageError(f"--config {file} is no TOML file: {error}") from None


def _options(ctx: typer.Context) -> dict[str, Any]:
    """Map the keys that a study file may have to the options of `run`."""
    root: Any = ctx.find_root()
    options = root.command.get_command(root, "run").params
    names = {option.opts[0].removeprefix("--"): option for option in options}
    return {name: option for name, option in names.items() if name != "config"}


def _converted(ctx: typer.Context, option: Any, value: Any) -> Any:
    """Turn a value of the file into the option's own; raises BadParameter or ValueError."""
    if option.multiple:
        value = list(_settings(value)) if isinstance(value, dict) else _texts(value)
    elif isinstance(value, list):
        value = ",".join(_texts(value))
    elif not option.is_flag:
        value = _text(value)
    elif not isinstance(value, bool):
        raise ValueError("it takes true or false")
    return option.process_value(ctx, value)


def _texts(value: Any) -> list[str]:
    return [_text(item) for item in (value if isinstance(value, list) else [value])]


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        raise ValueError("it takes texts and numbers")  # noqa: TRY004  the caller names the key
    return str(value).lower() if isinstance(value, bool) else str(value)


def _settings(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Spell a table of knobs as `--set` takes them; a list becomes a tuple's `a+b`."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={'+'.join(_texts(value))}"
