"""Every method on pictures of any size and on maps of unlike sizes: two steps, or a line that says why."""

import pytest

from distiller_zoo import distiller_dict
from helper.errors import UserError
from modreduce.build import build_group, plan_students
from tests.modreduce.groups import CPU, settings_of
from tests.modreduce.pairs import batch_for, data_of, group_for, two_steps

ALIKE = ("resnet8", "resnet14")
UNLIKE = ("ShuffleV1", "resnet8x4")  # at 44 x 60 maps of 11 x 15 against 6 x 8: no whole factor
FOREIGN = ("torchvision:mobilenet_v3_small", "torchvision:resnet18")
COMPOSED = "which have to be of models/"
REFUSED = {
    ALIKE: {},
    UNLIKE: {
        "fsp": "the same channels",
        "kdsvd": "the same channels",
        "norm": "a whole number of times as large",
        "ab": "no connector from a map of",
    },
    FOREIGN: {
        "fsp": "the same channels",
        "kdsvd": "the same channels",
        "ab": "maps before their ReLU",
        "ofd": "in front of every stage's last ReLU",
        "simkd": COMPOSED,
        "norm": COMPOSED,
        "reviewkd": "maps before the ReLU",
        "catkd": "the map that the classifier averages",
        "sdd": "the map that the classifier averages",
        "sdd_dkd": "the map that the classifier averages",
    },
}


@pytest.mark.parametrize("method", ["fitnet", "semckd", "reviewkd", "crd", "at", "fsp"])
def test_maps_that_are_no_squares(method):
    group = group_for(method, *ALIKE, "48x64")
    assert {tuple(m.shape[2:]) for m in group.teacher.network.outputs(noise()).maps} == {
        (48, 64),
        (24, 32),
        (12, 16),
    }
    assert two_steps(group, method, "48x64") == []


def noise():
    return batch_for("kd", "48x64").images


@pytest.mark.parametrize("method", ["fitnet", "wkd"])
def test_maps_without_a_whole_factor(method):
    group = group_for(method, *UNLIKE, "44x60", hint_layer=3)
    assert two_steps(group, method, "44x60") == []


def test_a_last_batch_of_one_picture_that_batch_norms_cannot_take_is_told():
    """MobileNetV2's last maps of pictures of 16 pixels have one place; of 32 pixels they have more."""
    settings = settings_of(nce_k=16)
    plans = plan_students([], ["MobileNetV2"], "none", settings.options)
    for size, images, refused in ((16, 17, True), (16, 18, False), (32, 17, False)):
        data = data_of(size, images=images)
        if not refused:
            build_group(plans, None, "none", data, settings, CPU, "fp32")
            continue
        line = r"MobileNetV2 cannot be trained on a batch of 1 \(17 images in batches of 8\): ValueError: "
        with pytest.raises(UserError, match=line):
            build_group(plans, None, "none", data, settings, CPU, "fp32")


def test_large_tables_of_a_method_are_told_before_training(monkeypatch):
    group = group_for("wkd", *ALIKE, 32)
    assert not any("tables" in line for line in group.remarks())
    monkeypatch.setattr("modreduce.remarks.LARGEST_TABLES", 100)
    (warning,) = [line for line in group.remarks() if "tables" in line]
    assert warning == "warning: wkd keeps 0 MB of tables beside wkd"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pair", "size"), [(ALIKE, "48x64"), (UNLIKE, "44x60"), (UNLIKE, 28), (FOREIGN, "48x64")]
)
@pytest.mark.parametrize("method", distiller_dict)
def test_every_method_on_any_pair_and_size(method, pair, size):
    if (reason := REFUSED[pair].get(method)) is not None:
        with pytest.raises(UserError, match=reason) as error:
            group_for(method, *pair, size)
        assert "\n" not in str(error.value)
        return
    assert two_steps(group_for(method, *pair, size), method, size) == []


@pytest.mark.slow
@pytest.mark.parametrize("method", ["kd", "crd", "rkd", "fitnet", "at", "sp", "dkd", "vid", "srrl", "ickd"])
def test_pictures_of_224(method):
    assert two_steps(group_for(method, *FOREIGN, 224), method, 224) == []
