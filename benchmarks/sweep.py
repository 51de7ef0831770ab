"""Measures every model of timm, or of transformers, without weights, and tells what went wrong.

``python -m benchmarks.sweep --library timm`` or ``--library transformers``; nothing is downloaded. Each model runs in a
worker process under limits of time and memory, so that one that hangs or breaks does not end the sweep. A failure is
tried again on real tensors (on the meta device, where the weights are too large), to tell our mistakes from a model's.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import fnmatch
import importlib
import inspect
import io
import json
import os
import re
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.isolated import Answer, Limits, OutOfTimeError, answers
from pytest_modelbudget import measure
from pytest_modelbudget.errors import MeasurementError

GB = 10**9
TEXT = 128  # tokens
SOUND = 16000  # samples
_FAILS = "fails too"
_NEEDS_VALUES = "needs the elements of a tensor"


@dataclass
class Row:
    """What became of one model.

    Attributes:
        library: that it is from.
        name: in that library.
        seconds: of building and measuring it without weights, a failing attempt included.
        params, macs: what was measured.
        run: ``"abstract"``, ``"real"``, or empty where it was not measured.
        note: why it fell back to a real run.
        build: why it had to be built with its weights.
        uncounted: operation without a formula to calls.
        failure: type and first line of the exception.
        at: the innermost line of the library's own code that the exception came through.
        on_real: what became of a failing model on real tensors, or on the meta device where it is too large.
        skipped: why it was not tried.
    """

    library: str
    name: str
    seconds: float = 0.0
    params: int = 0
    macs: int = 0
    run: str = ""
    note: str = ""
    build: str = ""
    uncounted: dict[str, int] = field(default_factory=dict)
    failure: str = ""
    at: str = ""
    on_real: str = ""
    skipped: str = ""


class UnknownInputsError(Exception):
    """This script does not know what the model is called with."""


Case = tuple[Callable[[], nn.Module], Any]


def main() -> None:
    """Sweep, write the rows, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", choices=sorted(LIBRARIES), default="timm")
    parser.add_argument("--match", default="*", help="a shell pattern over the models' names")
    parser.add_argument("--limit", type=int, help="measure this many, spread evenly over the list")
    parser.add_argument("--json", type=Path, help="write a row a model, as JSON lines, as they come")
    parser.add_argument("--seconds", type=int, default=120, help="time limit of one model")
    parser.add_argument("--memory", type=float, default=8, help="memory limit of the worker, in GB")
    parser.add_argument("--real", type=float, default=1, help="most weights of a run on real tensors, in GB")
    parser.add_argument("--again", type=Path, help="only the models that were not measured in this file of rows")
    parser.add_argument("--summarise", type=Path, help="only print the summary of the rows in this file")
    args = parser.parse_args()
    if args.summarise:
        rows = _read(args.summarise)
    else:
        os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        measured = {row.name for row in _read(args.again) if row.run} if args.again else set()

        def chosen(names: list[str]) -> list[str]:
            names = [name for name in names if fnmatch.fnmatchcase(name, args.match) and name not in measured]
            count = min(args.limit or len(names), len(names))
            return [names[i * len(names) // count] for i in range(count)]

        limits = Limits(args.seconds, int(args.memory * GB), int(args.real * GB))
        rows = []
        with args.json.open("w") if args.json else contextlib.nullcontext(io.StringIO()) as file:
            for name, answer, failure in answers(partial(_load, args.library, limits), chosen, limits):
                row = answer or Row(args.library, name, failure=failure)
                rows.append(row)
                file.write(json.dumps(asdict(row)) + "\n")
                file.flush()
    print("\n".join(_summary(rows)))  # noqa: T201


def _read(path: Path) -> list[Row]:
    return [Row(**json.loads(line)) for line in path.read_text().splitlines()]


def _load(library: str, limits: Limits) -> tuple[list[str], Answer]:
    """In the worker: the names of all models, and what measures one."""
    torch.set_num_threads(1)
    names, case_of = LIBRARIES[library]
    return names(), lambda name: _row(library, name, case_of, limits)


def _row(library: str, name: str, case_of: Callable[[str], Case], limits: Limits) -> Row:
    row = Row(library, name)
    start = time.perf_counter()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            _measure(row, case_of(name), limits)
    except UnknownInputsError as error:
        row.skipped = str(error)
    except ImportError as error:
        row.skipped = f"ImportError: {str(error).strip().partition(chr(10))[0]}"
    except (Exception, OutOfTimeError) as error:
        row.failure, row.at = row.failure or _one_line(error), row.at or _where(error)
    row.seconds = row.seconds or round(time.perf_counter() - start, 3)
    return row


def _measure(row: Row, case: Case, limits: Limits) -> None:
    """Measure one model into its row."""
    build, inputs = case
    weights = 0
    failed_builds: list[Exception] = []

    def built() -> nn.Module:
        nonlocal weights
        try:
            model = build()
        except Exception as error:
            failed_builds.append(error)
            raise
        weights = sum(p.numel() * p.dtype.itemsize for p in model.parameters())
        return model

    start = time.perf_counter()
    try:
        profile = measure(built, inputs, run="abstract")
    except MeasurementError as error:
        row.seconds = round(time.perf_counter() - start, 3)
        if isinstance(error.__cause__, ImportError):
            raise error.__cause__ from None
        row.failure, row.at = _one_line(error.__cause__ or error), _where(error.__cause__ or error)
        if failed_builds:
            row.on_real = _on_meta(build, None)
            return
        if weights > limits.real:
            row.on_real = _on_meta(build, inputs)
            return
        try:
            profile = measure(built, inputs, run="auto")
        except MeasurementError:
            row.on_real = _on_real(built, inputs)
            return
        row.failure = ""
    row.seconds = row.seconds or round(time.perf_counter() - start, 3)
    row.params, row.macs, row.run, row.note = profile.params, profile.macs, profile.run, profile.note
    row.uncounted = profile.uncounted
    if failed_builds:
        row.build = f"{_one_line(failed_builds[0])} ({_where(failed_builds[0])})"


def _on_real(build: Callable[[], nn.Module], inputs: Any) -> str:
    try:
        measure(build, inputs, run="real")
    except MeasurementError as error:
        return f"{_FAILS}: {_one_line(error.__cause__ or error)} ({_where(error.__cause__ or error)})"
    return "works"


def _on_meta(build: Callable[[], nn.Module], inputs: dict[str, Any] | None) -> str:
    """What becomes of a model with too many weights for real tensors, or that cannot be built, on the meta device."""
    try:
        with torch.device("meta"), torch.no_grad():
            model = build().eval()
            if inputs is not None:
                model(**{name: value.to("meta") if hasattr(value, "to") else value for name, value in inputs.items()})
    except Exception as error:
        return f"{_FAILS} on the meta device: {_one_line(error)} ({_where(error)})"
    return "works on the meta device"


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _where(error: BaseException) -> str:
    """File, line and code of the innermost frame that is neither PyTorch's nor ours."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if not {"torch", "pytest_modelbudget"} & set(path.parts) and path.name != Path(__file__).name:
            return f"{path.parent.name}/{path.name}:{frame.lineno}: {frame.line}"
    return ""


# timm


def _timm_names() -> list[str]:
    names: list[str] = importlib.import_module("timm").list_models()
    return names


def _timm_case(name: str) -> Case:
    timm = importlib.import_module("timm")
    config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    size = (config and config.input_size) or (3, 224, 224)
    return lambda: timm.create_model(name, pretrained=False), (1, *size)


# transformers


def _transformers_names() -> list[str]:
    """``config type/class``: first each config's base model, then each one's first head, and so on."""
    auto = importlib.import_module("transformers.models.auto.modeling_auto")
    tables = [name for name in dir(auto) if name.startswith("MODEL_") and name.endswith("MAPPING_NAMES")]
    tables.sort(key=lambda name: (name != "MODEL_MAPPING_NAMES", name))
    classes: dict[str, list[str]] = defaultdict(list)
    for table in tables:
        for kind, names in getattr(auto, table).items():
            for name in (names,) if isinstance(names, str) else names:
                if name and name not in classes[kind]:
                    classes[kind].append(name)
    rounds = max(map(len, classes.values()))
    return [f"{kind}/{names[i]}" for i in range(rounds) for kind, names in sorted(classes.items()) if i < len(names)]


def _transformers_case(name: str) -> Case:
    transformers = importlib.import_module("transformers")
    kind, _, class_name = name.partition("/")
    try:
        cls = getattr(transformers, class_name)
        config = transformers.CONFIG_MAPPING[kind]()
        signature = inspect.signature(cls.forward)
    except ImportError:
        raise
    except Exception as error:
        raise UnknownInputsError(f"no default config: {_one_line(error)}") from error
    if cls.forward is nn.Module.forward:
        raise UnknownInputsError("it has no forward")
    for part in (config, *_parts(config)):
        for key in ("use_pretrained_backbone", "use_cache"):
            if getattr(part, key, False):
                setattr(part, key, False)
    torch.manual_seed(0)
    inputs = _inputs(cls, config, list(signature.parameters.values())[1:])

    def build() -> nn.Module:
        model: nn.Module = cls(copy.deepcopy(config))
        return model

    return build, inputs


def _parts(config: Any) -> list[Any]:
    """The configs inside a config."""
    found = [value for key, value in vars(config).items() if hasattr(value, "to_dict") and key != "_parent"]
    return found + [inner for part in found for inner in _parts(part)]


def _first(config: Any, *keys: str, default: Any = None) -> Any:
    """The value of the first of these keys that a config, or a config inside it, has."""
    for part in (config, *_parts(config)):
        for key in keys:
            value = getattr(part, key, None)
            if value is not None:
                return value
    return default


def _ids(config: Any, length: int, *keys: str) -> torch.Tensor:
    """Token ids that are ordinary words: low, but above the special ones; the last one ends the text."""
    vocabulary = _first(config, *keys, "vocab_size", default=1000)
    vocabulary = vocabulary if isinstance(vocabulary, int) else min(vocabulary)
    ids = torch.arange(length) % max(1, min(vocabulary - 10, 80)) + (10 if vocabulary > 20 else 0)
    end = _first(config, "eos_token_id")
    if isinstance(end, int) and 0 <= end < vocabulary:
        ids[-1] = end
    return ids[None]


def _pair(size: Any, default: int = 224) -> tuple[int, int]:
    if isinstance(size, dict):
        size = (size.get("height", default), size.get("width", default))
    if isinstance(size, int):
        return size, size
    if isinstance(size, list | tuple) and len(size) >= 2:
        return int(size[-2]), int(size[-1])
    return default, default


def _picture(config: Any) -> torch.Tensor:
    vision = next((getattr(config, key) for key in _VISION if getattr(config, key, None) is not None), config)
    channels = _first(vision, "num_channels", "in_channels", "in_chans", default=3)
    return torch.rand(1, channels if isinstance(channels, int) else 3, *_pair(_first(vision, "image_size", "img_size")))


def _patches(config: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Flat patches of one picture of 16 × 16 patches, and its grid."""
    patch = _first(config, "patch_size", default=14)
    channels = _first(config, "in_channels", "in_chans", "num_channels", default=3)
    depth = _first(config, "temporal_patch_size", default=1)
    return torch.rand(256, channels * depth * patch * patch), torch.tensor([[1, 16, 16]])


_VISION = ("vision_config", "vision_model_config", "backbone_config")
_PICTURE_TOKENS = (
    *("image_token_id", "image_token_index", "audio_token_id", "audio_token_index", "video_token_id"),
    *("media_placeholder_token_id", "image_token_ids", "img_token_id"),
)


def _inputs(cls: Any, config: Any, parameters: list[inspect.Parameter]) -> dict[str, Any]:
    """Inputs for one class, from what its config and the names of its forward's parameters say.

    A model that puts pictures or sounds between the words is given words alone.
    """
    names = [p.name for p in parameters]
    required = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    wanted = list(required)
    mixed = _first(config, *_PICTURE_TOKENS) is not None and "input_ids" in names
    if not mixed:
        main = cls.main_input_name if isinstance(cls.main_input_name, str) else ""
        wanted += [name for name in (main, "pixel_values", "input_features") if name in names]
        wanted += [name for name in ("input_features_mask", "spatial_shapes") if name in names]
    if "input_ids" in names and not set(required) & {"inputs_embeds", "hidden_states"}:
        wanted.append("input_ids")
    wanted += [name for name in ("bbox", "visual_feats", "visual_pos") if name in names]
    wanted += [name for name in ("decoder_input_ids",) if name in names and config.is_encoder_decoder]
    if {"input_ids", "pixel_values"} & set(wanted):
        wanted = [name for name in wanted if name != "inputs"]
    return {name: _input(name, cls, config) for name in dict.fromkeys(wanted)}


def _input(name: str, cls: Any, config: Any) -> Any:
    maker = _MAKERS.get(name)
    if maker is None:
        raise UnknownInputsError(f"no inputs are known for {name}")
    return maker(cls, config)


def _text(cls: Any, config: Any) -> torch.Tensor:
    if config.model_type == "reformer":
        return _ids(config, int(torch.tensor(config.axial_pos_shape).prod()))
    longest = _first(config, "max_position_embeddings", "max_source_positions", default=TEXT)
    ids = _ids(config, min(TEXT, longest) if longest > 0 else TEXT)
    return ids[:, None].expand(1, 2, -1) if cls.__name__.endswith("ForMultipleChoice") else ids


def _pictures(cls: Any, config: Any) -> torch.Tensor:
    kind = config.model_type
    if "siglip2" in kind:
        patch = _first(config, "patch_size")
        return torch.rand(1, 256, 3 * patch * patch)
    if {"grid_thw", "image_grid_thw"} & set(inspect.signature(cls.forward).parameters):
        return _patches(config)[0]
    picture = _picture(config)
    if kind in _IN_PAIRS or (kind.startswith(_IN_LISTS) and not kind.endswith("_vision")):
        return picture[:, None].expand(1, 2, -1, -1, -1)
    frames = _first(config, "num_frames", default=None)
    if cls.main_input_name == "pixel_values_videos" or (frames and kind in _VIDEO):
        return picture[:, None].expand(1, frames or _first(config, "frames_per_clip", default=16), -1, -1, -1)
    return picture


_VIDEO = ("videomae", "vivit", "timesformer", "xclip", "instructblipvideo")
_IN_PAIRS = ("efficientloftr", "lightglue", "superglue")
_IN_LISTS = ("idefics", "smolvlm", "granite_docling", "modernvbert", "colmodernvbert")


def _samples(cls: Any, config: Any) -> torch.Tensor:
    if config.model_type == "audio-spectrogram-transformer":
        return torch.rand(1, config.max_length, config.num_mel_bins)
    if config.model_type == "speecht5":
        return _ids(config, TEXT) if "TextTo" in cls.__name__ else torch.rand(1, SOUND)
    if hasattr(config, "audio_channels") or "codec" in config.model_type or config.model_type in _CODECS:
        return torch.rand(1, _first(config, "audio_channels", default=1), SOUND)
    return torch.rand(1, SOUND)


_CODECS = ("dac", "mimi", "mimi_encoder", "pe_audio_encoder", "pe_audio", "muse_spark_audio")


def _features(_: Any, config: Any) -> torch.Tensor:
    bins = _first(config, "num_mel_bins", "feature_projection_input_dim", "input_feat_per_channel", "num_mels")
    bins = bins or _first(config, "input_dim", "model_in_channels", "feature_size", default=80)
    if config.model_type.startswith("clap"):
        return torch.rand(1, 1, 1001, _first(config, "num_mel_bins", default=64))
    whisper_like = _first(config, "num_mel_bins") and _first(config, "max_source_positions")
    if whisper_like and not config.model_type.startswith("speech_to_text"):
        return torch.rand(1, bins, 2 * _first(config, "max_source_positions"))
    return torch.rand(1, 400, bins)


def _frames(features: torch.Tensor) -> int:
    """How long the sound is; the longer side is time."""
    return max(features.shape[-2:])


def _decoded(_: Any, config: Any) -> torch.Tensor:
    ids = _ids(config, 16, "decoder_vocab_size")
    return ids[..., None].expand(-1, -1, config.decoder_config.num_channels) if config.model_type == "dia" else ids


def _past(_: Any, config: Any) -> torch.Tensor:
    lags = max(getattr(config, "lags_sequence", None) or [0])
    channels = _first(config, "num_input_channels", default=0)
    length = (_first(config, "context_length", default=64) or 64) + lags
    return torch.rand(1, length, channels) if channels else torch.rand(1, length)


_MAKERS: dict[str, Callable[[Any, Any], Any]] = {
    "input_ids": _text,
    "decoder_input_ids": _decoded,
    "qformer_input_ids": lambda _, config: _ids(getattr(config, "qformer_config", config), 16),
    "pixel_values": _pictures,
    "pixel_values_videos": _pictures,
    "input_values": _samples,
    "input_features": _features,
    "input_features_mask": lambda cls, config: torch.ones(1, _frames(_features(cls, config)), dtype=torch.long),
    "spatial_shapes": lambda *_: torch.tensor([[16, 16]]),
    "pixel_attention_mask": lambda *_: torch.ones(1, 256, dtype=torch.long),
    "image_grid_thw": lambda _, config: _patches(config)[1],
    "visual_feats": lambda _, config: torch.rand(1, 36, getattr(config, "visual_feat_dim", 2048)),
    "visual_pos": lambda *_: torch.rand(1, 36, 4),
    "merge_sizes": lambda *_: torch.tensor([1]),
    "audio_mel": lambda *_: torch.rand(1, 400, 128),
    "audio_mel_mask": lambda *_: torch.zeros(1, 400, dtype=torch.bool),
    "hidden_states": lambda _, config: _patches(config)[0],
    "grid_thw": lambda _, config: _patches(config)[1],
    "bbox": lambda *_: torch.zeros(1, TEXT, 4, dtype=torch.long),
    "past_values": _past,
    "past_observed_mask": lambda cls, config: torch.ones_like(_past(cls, config)),
    "past_time_features": lambda cls, config: _past(cls, config)[..., None].expand(-1, -1, config.num_time_features),
    "inputs": lambda _, config: torch.rand(1, TEXT, config.d_model),
}


LIBRARIES: dict[str, tuple[Callable[[], list[str]], Callable[[str], Case]]] = {
    "timm": (_timm_names, _timm_case),
    "transformers": (_transformers_names, _transformers_case),
}


# The summary


def _summary(rows: list[Row]) -> list[str]:
    measured = [row for row in rows if row.run]
    seconds = sorted(row.seconds for row in rows if row.run == "abstract") or [0.0]
    too_large = [row for row in rows if _NEEDS_VALUES in row.failure]
    failures = [row for row in rows if row.failure and row not in too_large]
    lines = [
        f"{len(rows)} models, {sum(row.seconds for row in rows):.0f} s",
        f"  measured without weights  {sum(row.run == 'abstract' for row in rows)}",
        f"  measured on real tensors  {sum(row.run == 'real' for row in rows)}",
        f"  need values, too large    {len(too_large)}",
        f"  failed                    {len(failures)}",
        f"    without us too          {sum(map(_fails_too, failures))}",
        f"  not tried                 {sum(bool(row.skipped) for row in rows)}",
        f"seconds without weights: median {seconds[len(seconds) // 2]:.2f}, most {seconds[-1]:.2f}",
    ]
    lines += _groups("Fell back to real tensors", [(row.note, row) for row in measured if row.note])
    lines += _groups("Need values, and have too many weights for it", [(row.failure, row) for row in too_large])
    lines += _groups("Built with weights", [(row.build, row) for row in measured if row.build])
    operations = Counter(operation for row in measured for operation in row.uncounted)
    lines += ["", "Operations without a formula, and models that have them"]
    lines += [f"{count:6}  {operation}" for operation, count in operations.most_common()]
    for title, wanted in (("Failed here alone", False), ("Failed, and fails without this package too", True)):
        lines += _groups(title, [(_told(row), row) for row in failures if _fails_too(row) is wanted])
    return lines + _groups("Not tried", [(row.skipped, row) for row in rows if row.skipped])


def _fails_too(row: Row) -> bool:
    """Whether the same exception comes without abstract tensors; PyTorch's message may be another there."""
    kind = row.failure.partition(":")[0]
    return row.on_real.startswith(_FAILS) and f": {kind}:" in row.on_real and row.at in row.on_real


def _told(row: Row) -> str:
    return f"{row.failure} ({row.at})" if row.at else row.failure


def _groups(title: str, rows: list[tuple[str, Row]]) -> list[str]:
    """The rows grouped by a message, whatever its numbers; largest group first."""
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for message, row in rows:
        groups[re.sub(r"\d+", "#", message.partition(" (")[0])].append((message, row.name))
    lines = ["", f"{title} ({len(rows)})"]
    for group in sorted(groups.values(), key=len, reverse=True):
        names = ", ".join(name for _, name in group[:4]) + (", ..." if len(group) > 4 else "")
        lines += [f"{len(group):6}  {group[0][0]}", f"        {names}"]
    return lines


if __name__ == "__main__":
    main()
