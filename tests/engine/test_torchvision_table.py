"""torchvision's own table: every weight publishes its parameters, its operations and the size of its file.

`weights.meta` has `num_params`, `_ops` (multiply-accumulates, in 10⁹, to three decimals) and `_file_size` (MiB, to
three decimals). torchvision counted `_ops` with a dispatch mode of its own over convolutions and matrix products, in
evaluation mode on one random image, as its `test/common_extended_utils.py` and `test/test_extended_models.py` show.
The inputs here are the ones that it used:

- classification and quantized classification: one image of the transform's crop size;
- segmentation: one image of 520×520, to which the transform resizes the square image;
- video: one clip of 16 frames of the transform's crop size;
- optical flow: two images of 512×512, which the transform leaves as large as they are;
- detection: one image, of the size in `DETECTION_SIDES`; the model itself resizes it.

A model is what the builder makes for those weights (so many classes, frozen batch norms, auxiliary heads or none),
with the loading left out: nothing is downloaded, and nothing but a model that needs values is allocated.

By default one weight of each family is measured, the one with the fewest operations; `-m sweep` measures the others.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models import WeightsEnum

from pytest_modelbudget import Profile, measure

# torch.ao.quantization says that it will go; torchvision's quantized models are made with it.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.ao.quantization:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch.ao.quantization"),
    pytest.mark.filterwarnings("ignore:.*quantize_per_tensor.*:UserWarning"),
    pytest.mark.filterwarnings(
        "ignore:auxiliary heads in the pretrained googlenet model are NOT pretrained:UserWarning"
    ),
]

MIB = 2**20


@dataclass(frozen=True)
class Published:
    """One weight of the table, and the name of the builder that it belongs to."""

    builder: str
    weights: WeightsEnum

    def __str__(self) -> str:
        return f"{type(self.weights).__name__}.{self.weights.name}"

    @property
    def family(self) -> str:
        """The module of the builder below `torchvision.models`, such as `resnet` or `detection.ssd`."""
        module: str = models.get_model_builder(self.builder).__module__
        return module.removeprefix("torchvision.models.")

    @property
    def task(self) -> str:
        package, _, _ = self.family.rpartition(".")
        return package or "classification"

    @property
    def params(self) -> int:
        return int(self.weights.meta["num_params"])

    @property
    def gmacs(self) -> float:
        return float(self.weights.meta["_ops"])

    @property
    def file_bytes(self) -> float:
        return float(self.weights.meta["_file_size"]) * MIB


TABLE = {
    str(published): published
    for builder in models.list_models()
    for published in (Published(builder, weights) for weights in models.get_model_weights(builder))
}

# The sides of the square image that torchvision gives each detection model.
DETECTION_SIDES = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": 320,
    "keypointrcnn_resnet50_fpn": 1333,
    "ssd300_vgg16": 300,
    "ssdlite320_mobilenet_v3_large": 320,
}
OTHER_DETECTION_SIDE = 800


# -- what the table does not say of the models ------------------------------------------------------------------------


@dataclass(frozen=True)
class Boxes:
    """Why a detection model that finds all the boxes that it may does more than it did with the published weights.

    The heads run once a box, and how many boxes there are depends on the weights: those of the published ones found
    (almost) nothing in an image of noise, which is what torchvision counted on.

    Attributes:
        measured: GMACs when every quota of boxes is filled.
        spare: what the heads do for the boxes that the published weights do not find, in MACs.
        settings: arguments of the builder with which as few boxes are found: then all is as published.
    """

    measured: float
    spare: int
    settings: dict[str, Any]


# Box head and box predictor of a proposal: two linear layers on 256·7·7 features, and 91 classes with a box each.
_PROPOSAL = 256 * 7 * 7 * 1024 + 1024 * 1024 + 1024 * 91 + 1024 * 91 * 4
# Mask head and predictor of a detection: four convolutions 3×3, one transposed 2×2 to 28×28, and 91 masks.
_MASK = 4 * 256 * 256 * 9 * 14**2 + 256 * 256 * 4 * 14**2 + 256 * 91 * 28**2
# Keypoint head and predictor of a detection: eight convolutions 3×3, and one transposed 4×4 to 17 maps of 28×28.
_KEYPOINTS = 256 * 512 * 9 * 14**2 + 7 * 512 * 512 * 9 * 14**2 + 512 * 17 * 16 * 14**2

# No box is suppressed for lying on another or for its score, so that any weights fill every quota of an R-CNN.
_FILLED = {"rpn_nms_thresh": 1.0, "box_nms_thresh": 1.0, "box_score_thresh": 0.0}

BOXES = {
    # No proposal reaches the score of 0.05 that the mobile models ask for; the quotas are 150 and 1000.
    "FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1": Boxes(2.873, 150 * _PROPOSAL, {"rpn_score_thresh": 1.1}),
    "FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1": Boxes(18.853, 1000 * _PROPOSAL, {"rpn_score_thresh": 1.1}),
    # No detection, so that the heads of masks and keypoints have nothing to do (Mask R-CNN publishes the operations of
    # Faster R-CNN); the quota is 100.
    "MaskRCNN_ResNet50_FPN_Weights.COCO_V1": Boxes(187.586, 100 * _MASK, {"box_score_thresh": 1.1}),
    "KeypointRCNN_ResNet50_FPN_Weights.COCO_LEGACY": Boxes(483.470, 100 * _KEYPOINTS, {"box_score_thresh": 1.1}),
    # One detection of 100.
    "KeypointRCNN_ResNet50_FPN_Weights.COCO_V1": Boxes(483.470, 99 * _KEYPOINTS, {"box_detections_per_img": 1}),
}


# What differs by more than 1 % between the file of some weights and their model; each says what the file holds.
def _with_auxiliary_heads(published: Published) -> float:
    """The file keeps the two auxiliary heads that the builder takes off after loading it."""
    if published.task == "quantization":
        return _stored_bytes(_make(published, aux_logits=True))
    return _profile_with(published, aux_logits=True).size


def _in_half_precision(published: Published) -> float:
    """The file keeps the weights in float16; the builder's model has them in float32."""
    with _unloaded():
        return measure(_builder(published), _inputs(published), dtype="float16").size


def _with_the_container(published: Published) -> float:
    """So small a model shows what the zip file itself takes: some hundred bytes for each tensor."""
    return _saved_bytes(_make(published))


def _with_the_older_container(published: Published) -> float:
    """So small a model shows what the file itself takes, here in the format before torch 1.6: less than a zip file."""
    return _saved_bytes(_make(published), zipped=False)


def _before_conversion(published: Published) -> float:
    """The file was saved before conversion: float32 weights and their observers, which loading converts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.ao.quantization, "convert", lambda *_, **__: None)
        return _saved_bytes(_make(published))


FILES: dict[str, Callable[[Published], float]] = {
    "GoogLeNet_Weights.IMAGENET1K_V1": _with_auxiliary_heads,
    "GoogLeNet_QuantizedWeights.IMAGENET1K_FBGEMM_V1": _with_auxiliary_heads,
    "Wide_ResNet50_2_Weights.IMAGENET1K_V1": _in_half_precision,
    "Wide_ResNet101_2_Weights.IMAGENET1K_V1": _in_half_precision,
    "Raft_Small_Weights.C_T_V1": _with_the_container,
    "Raft_Small_Weights.C_T_V2": _with_the_container,
    "SSDLite320_MobileNet_V3_Large_Weights.COCO_V1": _with_the_container,
    "MobileNet_V2_QuantizedWeights.IMAGENET1K_QNNPACK_V1": _with_the_older_container,
    "ShuffleNet_V2_X0_5_QuantizedWeights.IMAGENET1K_FBGEMM_V1": _with_the_container,
    "ShuffleNet_V2_X1_5_QuantizedWeights.IMAGENET1K_FBGEMM_V1": _with_the_container,
    "ShuffleNet_V2_X2_0_QuantizedWeights.IMAGENET1K_FBGEMM_V1": _with_the_container,
    "MobileNet_V3_Large_QuantizedWeights.IMAGENET1K_QNNPACK_V1": _before_conversion,
}


# -- the tests ---------------------------------------------------------------------------------------------------------


def _fastest_of_each_family() -> set[str]:
    fastest: dict[str, str] = {}
    for name, published in TABLE.items():
        known = fastest.setdefault(published.family, name)
        if published.gmacs < TABLE[known].gmacs:
            fastest[published.family] = name
    return set(fastest.values())


FAST = _fastest_of_each_family()


def _each(names: Any = TABLE) -> pytest.MarkDecorator:
    """Parametrize a test by weights, all but the fast ones behind the marker `sweep`."""
    params = []
    for name in names:
        marks: list[pytest.MarkDecorator] = [] if name in FAST else [pytest.mark.sweep]
        params.append(pytest.param(TABLE[name], marks=marks, id=name))
    return pytest.mark.parametrize("published", params)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Threads beyond the free cores only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_table_is_whole() -> None:
    assert len(TABLE) >= 166
    assert {published.task for published in TABLE.values()} == {
        *("classification", "segmentation", "video", "optical_flow", "detection", "quantization")
    }
    assert set(FILES) | set(BOXES) <= set(TABLE)


@_each()
def test_params(published: Published) -> None:
    # googlenet publishes itself without its auxiliary heads, which its builder takes off; inception_v3 with its own.
    expected = published.params
    if published.task == "quantization":
        _require_engine(published)
        # The table repeats the parameters of the float model. Fusing makes one bias of the two parameters of each
        # batch norm, since its convolution had none; and the builder takes the head of inception_v3 off.
        unquantized = _make_unquantized(published)
        assert sum(p.numel() for p in unquantized.parameters()) == published.params - _auxiliary_params(published)
        batch_norms = [module for module in unquantized.modules() if isinstance(module, nn.BatchNorm2d)]
        expected = published.params - _auxiliary_params(published) - sum(norm.num_features for norm in batch_norms)
    assert _profile(published).params == expected


@_each()
def test_macs(published: Published) -> None:
    _require_engine(published)
    profile = _profile(published)
    assert round(profile.macs / 1e9, 3) == published.gmacs
    assert not profile.uncounted


@_each()
def test_size(published: Published) -> None:
    _require_engine(published)
    size = _profile(published).size
    if published.task == "quantization":
        assert size == _stored_bytes(_make(published))
    if str(published) in FILES:
        assert size != pytest.approx(published.file_bytes, rel=0.01)
    else:
        assert size == pytest.approx(published.file_bytes, rel=0.01)


@_each(FILES)
def test_files_that_hold_something_else_than_the_model(published: Published) -> None:
    _require_engine(published)
    assert FILES[str(published)](published) == pytest.approx(published.file_bytes, rel=0.01)


@pytest.mark.sweep
@pytest.mark.parametrize("name", BOXES)
def test_each_box_costs_its_heads(name: str) -> None:
    published, boxes = TABLE[name], BOXES[name]
    profile = _profile_with(published, **_FILLED)
    assert round(profile.macs / 1e9, 3) == boxes.measured
    assert round((profile.macs - boxes.spare) / 1e9, 3) == published.gmacs


# A quantized model is not among them: its weights are packed when it is built, and are never abstract.
@_each(name for name, published in TABLE.items() if published.task != "quantization")
def test_only_detection_models_look_at_values(published: Published) -> None:
    # At scores and boxes: `nonzero`, or a mask as an index.
    profile = _profile(published)
    if published.task == "detection":
        assert profile.run == "real"
        assert profile.note in {
            "aten.nonzero.default looks at the elements of a tensor",
            "aten.index.Tensor looks at the elements of a tensor",
        }
    else:
        assert (profile.run, profile.note) == ("abstract", "")


# -- building and measuring --------------------------------------------------------------------------------------------


@functools.cache
def _profile_of(name: str) -> Profile:
    quotas = _FILLED if "rcnn" in TABLE[name].builder else {}
    return _profile_with(TABLE[name], **{**quotas, **(BOXES[name].settings if name in BOXES else {})})


def _profile(published: Published) -> Profile:
    """The profile of a model that finds as many boxes as the published one did; measured once."""
    return _profile_of(str(published))


def _profile_with(published: Published, **settings: Any) -> Profile:
    """The profile of a model as it is built for its weights, with some arguments of the builder changed."""
    with _unloaded():
        return measure(_builder(published, **settings), _inputs(published))


def _builder(published: Published, **settings: Any) -> Callable[[], nn.Module]:
    if published.task == "quantization":
        settings = {"quantize": True, **_undrawn(published), **settings}
    return lambda: models.get_model(published.builder, weights=published.weights, **settings)


def _undrawn(published: Published) -> dict[str, Any]:
    """What spares the quantized inception_v3 its slow initialization, as the builder of the float one does itself."""
    return {"init_weights": False} if published.builder == "quantized_inception_v3" else {}


def _make(published: Published, **settings: Any) -> nn.Module:
    with _unloaded():
        return _builder(published, **settings)()


def _make_unquantized(published: Published) -> nn.Module:
    with _unloaded():
        weights = published.weights.meta["unquantized"]
        unquantized: nn.Module = models.get_model(published.builder, weights=weights, **_undrawn(published))
        return unquantized


@contextmanager
def _unloaded() -> Iterator[None]:
    """Builders make the model of some weights, and do not load them."""
    engine = torch.backends.quantized.engine
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: {})
        patch.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
        try:
            yield
        finally:
            torch.backends.quantized.engine = engine  # a quantizing builder sets its own


def _inputs(published: Published) -> Any:
    match published.task:
        case "segmentation":
            return (1, 3, 520, 520)
        case "video":
            return (1, 3, 16, *published.weights.transforms().crop_size)
        case "optical_flow":
            return (torch.zeros(1, 3, 512, 512), torch.zeros(1, 3, 512, 512))
        case "detection":
            side = DETECTION_SIDES.get(published.builder, OTHER_DETECTION_SIDE)
            return ([torch.rand(3, side, side, generator=torch.Generator().manual_seed(0))],)
        case _:
            (side,) = published.weights.transforms().crop_size
            return (1, 3, side, side)


def _require_engine(published: Published) -> None:
    engine = published.weights.meta.get("backend")
    if engine is not None and engine not in torch.backends.quantized.supported_engines:
        pytest.skip(f"this build of PyTorch has no {engine}")


def _auxiliary_params(published: Published) -> int:
    """Those of the head that inception_v3 publishes and its quantized model lacks.

    Two convolutions, 768 → 128 of 1×1 and 128 → 768 of 5×5, a batch norm after each, and a linear layer to 1000.
    """
    if published.family != "quantization.inception":
        return 0
    return 768 * 128 + 2 * 128 + 128 * 768 * 25 + 2 * 768 + 768 * 1000 + 1000


def _stored_bytes(model: nn.Module) -> int:
    """What a quantized model stores: packed weights with their scales and zero points, biases, and buffers."""
    stored = sum(buffer.nbytes for buffer in model.buffers())
    for module in model.modules():
        packed = vars(module).get("_packed_params")
        if packed is None:
            continue
        weight, bias = packed.unpack()
        stored += weight.numel() * weight.element_size() + bias.nbytes
        if weight.qscheme() is torch.per_channel_affine:
            stored += weight.q_per_channel_scales().nbytes + weight.q_per_channel_zero_points().nbytes
    return stored


def _saved_bytes(model: nn.Module, *, zipped: bool = True) -> int:
    """The length of the file that `torch.save` makes of a model."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file, _use_new_zipfile_serialization=zipped)
    return len(file.getvalue())
