"""The name of a run's folder."""

from engine.run_folder import LONGEST_NAME, Place, RunFolder


def test_a_network_with_slashes_in_its_name_makes_one_folder(tmp_path):
    name = "S_resnet8_T_reused/vgg8/resnet32x4_cifar100_kd_trial_1"
    run = RunFolder(Place(save_folder=tmp_path), "train_student", name)
    assert run.path == tmp_path / "train_student" / "S_resnet8_T_reused-vgg8-resnet32x4_cifar100_kd_trial_1"


def test_long_names_stay_apart(tmp_path):
    long = "a" * 2 * LONGEST_NAME
    runs = [RunFolder(Place(save_folder=tmp_path), "train_modreduce", name) for name in (long, long + "b")]
    assert runs[0].path != runs[1].path
    assert all(len(run.path.name) <= LONGEST_NAME for run in runs)
