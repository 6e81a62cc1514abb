"""The published numbers of the methods are those of their tables, at the experiments that they belong to."""

import pytest

from distiller_zoo import distiller_dict
from reporting.published import by_number
from reporting.published_methods import COLUMNS, PUBLISHED, SOURCES, published_value, settings_of
from train_student import parser

FARTHEST_BELOW_ALONE = 15.0
HIGHEST = 85.0
# (source, method, experiment): spot values, each from another place of the source's table
SPOTS = {
    ("repdistiller", "at", 1): 74.08,
    ("repdistiller", "nst", 6): 58.16,
    ("repdistiller", "pkt", 4): 70.25,
    ("repdistiller", "vid", 8): 73.61,
    ("repdistiller", "crd -a 0", 9): 75.51,
    ("repdistiller", "kd -r 0.1 -a 0.9", 9): 73.33,
    ("semckd", "at -a 1", 12): 71.90,
    ("semckd", "sp -a 1", 15): 68.48,
    ("semckd", "hkd", 11): 76.64,
    ("mdistiller", "dkd", 10): 74.68,
    ("mdistiller", "dkd", 7): 76.45,
    ("mdistiller", "dkd", 6): 69.71,
    ("mdistiller", "kd -r 0.1 -a 0.9 --optimizer dot", 11): 75.55,
    ("reviewkd", "reviewkd", 9): 75.63,
    ("reviewkd", "reviewkd", 2): 75.09,
    ("reviewkd", "reviewkd", 11): 77.78,
    ("dist", "dist", 2): 74.43,
    ("dist", "dist", 5): 73.69,
    ("dist", "dist", 6): 68.50,
    ("simkd", "simkd", 9): 78.08,
    ("simkd", "simkd", 2): 75.56,
    ("simkd", "simkd", 7): 77.18,
    ("ickd", "ickd", 1): 75.57,
    ("ickd", "ickd", 3): 71.69,
    ("ickd", "ickd", 5): 74.11,
    ("itrd", "itrd", 9): 76.69,
    ("itrd", "itrd", 3): 71.47,
    ("itrd", "itrd", 11): 77.40,
    ("norm", "norm", 10): 73.95,
    ("norm", "norm", 6): 68.94,
    ("norm", "norm -a 1", 7): 77.79,
    ("ls", "kd --logit_stand", 9): 76.62,
    ("ls", "dkd --logit_stand", 11): 77.37,
    ("ls", "mlkd --logit_stand", 6): 70.94,
    ("ls_cited", "mlkd", 11): 78.44,
    ("ls_cited", "mlkd", 10): 75.18,
    ("ls_cited", "ctkd", 1): 75.45,
    ("sdd", "sdd", 9): 75.45,
    ("sdd", "sdd", 7): 76.30,
    ("sdd", "sdd_dkd", 6): 70.25,
    ("ttm", "ttm", 1): 76.23,
    ("ttm", "ttm", 7): 74.18,
    ("ttm", "wttm", 5): 74.13,
    ("luminet", "luminet", 9): 77.50,
    ("luminet", "luminet", 2): 75.12,
    ("luminet", "luminet", 6): 70.50,
    ("wkd", "wkd --wkd_part logits", 9): 76.53,
    ("wkd", "wkd --wkd_part features", 9): 76.77,
    ("wkd", "wkd", 9): 77.28,
    ("mrd", "mrd", 10): 74.51,
    ("mrd", "mrd", 3): 71.80,
    ("mrd", "mrd", 11): 78.13,
    ("skd", "skd", 9): 78.33,
    ("skd", "skd", 1): 76.60,
    ("skd", "skd", 5): 74.84,
}


@pytest.mark.parametrize("method", PUBLISHED)
def test_every_method_can_be_trained_with_its_flags(method: str) -> None:
    name, *flags = method.split()
    assert name in distiller_dict
    words = ["--path_t", "t.pth", "--model_s", "resnet8x4", "--distill", name, *flags]
    assert parser().parse_args(words).distill == name


def test_every_value_is_an_accuracy_of_one_of_the_fifteen_experiments() -> None:
    for method, sources in PUBLISHED.items():
        for source, values in sources.items():
            assert values, (method, source)
            for number, value in values.items():
                assert number in range(1, 16), (method, source)
                least = by_number(number).alone - FARTHEST_BELOW_ALONE
                assert least < value < HIGHEST, (method, source, number)


def test_every_source_is_used_and_says_which_epoch_its_numbers_are_of() -> None:
    assert {source for sources in PUBLISHED.values() for source in sources} == set(SOURCES)
    assert {source.epoch for source in SOURCES.values()} == {"last", "best", "not said"}
    assert len({source.name for source in SOURCES.values()}) == len(SOURCES)


@pytest.mark.parametrize("source", SOURCES)
def test_a_table_has_each_experiment_once(source: str) -> None:
    assert len(set(COLUMNS[source])) == len(COLUMNS[source])


def test_spot_values_are_those_of_the_tables() -> None:
    assert {spot: PUBLISHED[spot[1]][spot[0]][spot[2]] for spot in SPOTS} == SPOTS
    for source in SOURCES:
        assert sum(spot[0] == source for spot in SPOTS) >= 3, source


def test_what_a_table_lacks_is_not_there() -> None:
    assert 2 not in PUBLISHED["fsp"]["repdistiller"] and 11 not in PUBLISHED["fsp"]["repdistiller"]
    assert 7 not in PUBLISHED["mlkd"]["ls_cited"] and 7 not in PUBLISHED["skd"]["skd"]
    assert not {"ofd", "catkd", "rld"} & set(PUBLISHED)


def test_a_number_belongs_to_a_run_with_exactly_its_flags() -> None:
    """The same words, given to the command, change the same settings."""
    for key in PUBLISHED:
        method, changed = settings_of(key)
        flags = parser()
        words = ["--path_t", "t.pth", "--model_s", "resnet8x4", "--distill", method, *key.split()[1:]]
        values = vars(flags.parse_args(words))
        others = {name: value for name, value in values.items() if value != flags.get_default(name)}
        for required in ("path_t", "model_s", "distill"):
            others.pop(required)
        assert changed == tuple(sorted((name, str(value)) for name, value in others.items())), key
    assert published_value("at", (), 9) == ("repdistiller", 73.44)
    assert published_value("at", (("alpha", "1.0"),), 9) == ("semckd", 75.07)
    assert published_value("at", (("alpha", "0.5"),), 9) is None
    assert published_value("at", (), 12) is None
