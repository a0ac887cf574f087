"""The workloads on real data: hashes, splits, models, and what is said where data is missing."""

import gzip
import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import optimize
from study_cases import planned
from torch import nn

from tapered import rules
from tapered.training.advance import LOOP, Mode, advance, evaluate
from tapered.training.probe import Probe
from tapered.training.rows import start, tabulate
from tapered.workloads import breast_cancer, characters, diabetes, digits, fashion_mnist, logistic, mnist1d, photo
from tapered.workloads.data import ChangedDataError, MissingDataError, file, parts, standardised
from tapered.workloads.fashion import FOLDER, SHA256, read
from tapered.workloads.letters import FILE, codes, corpus
from tapered.workloads.mnist1d import _Recurrent, series
from tapered.workloads.own import StudyFileError
from tapered.workloads.photo import encoded, pixels

fashion = pytest.mark.skipif(not Path(FOLDER).exists(), reason="try: apt-get install dataset-fashion-mnist")
jargon = pytest.mark.skipif(not Path(FILE).exists(), reason="try: apt-get install jargon-text")


def after(problem, steps, rate, rule=None, seed=0):
    rule = rule or rules.Adam()
    rows = start(problem, rule, [seed])
    return advance(problem, rows, [tabulate(rule, steps, lr=rate)], steps, mode=LOOP)


def splits(problem):
    return [split.tensors for split in (problem.train, problem.valid, problem.test)]


def test_a_fixed_permutation_is_cut():
    cut = parts("mine", (50, 20, 30), torch.arange(100), torch.arange(100) * 2)
    assert sorted(torch.cat([part.tensors[0] for part in cut]).tolist()) == list(range(100))
    assert all(torch.equal(part.tensors[1], 2 * part.tensors[0]) for part in cut)
    assert cut[0].tensors[0].tolist() != list(range(50))
    with pytest.raises(ValueError, match="mine has 100 examples; got splits of 90, 20"):
        parts("mine", (90, 20), torch.arange(100))


def test_standardised_by_the_first_set():
    x = torch.from_numpy(np.random.default_rng(0).normal(3, 2, (60, 4)))
    x[:, 2] = 5
    first, second = standardised(parts("mine", (40, 20), x, torch.zeros(60)))
    raw = [part.tensors[0].numpy() for part in parts("mine", (40, 20), x, torch.zeros(60))]
    spread = np.where(raw[0].std(0) > 1e-12, raw[0].std(0), 1)
    np.testing.assert_allclose(second.tensors[0], (raw[1] - raw[0].mean(0)) / spread, rtol=1e-5, atol=1e-6)
    assert first.tensors[0].dtype == torch.float32


def test_files_are_checked(tmp_path):
    path, right = tmp_path / "x.gz", hashlib.sha256(b"content").hexdigest()
    with pytest.raises(MissingDataError, match=r"there is no .*x\.gz \(FileNotFoundError\); try: apt-get install x$"):
        file(path, right, "apt-get install x")
    path.write_bytes(gzip.compress(b"content"))
    assert file(path, right, "") == b"content"
    path.write_bytes(gzip.compress(b"Content"))
    with pytest.raises(ChangedDataError, match=f"expected {right}"):
        file(path, right, "")
    path.write_bytes(gzip.compress(b"content")[:-9])
    with pytest.raises(ChangedDataError, match="no whole gzip file"):
        file(path, right, "")
    path.write_bytes(b"content")
    with pytest.raises(ChangedDataError, match="no whole gzip file"):
        file(path, right, "")


@pytest.mark.parametrize("make", [digits, diabetes, logistic, breast_cancer, photo])
def test_without_scikit_learn_the_line_to_install_it_is_said(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingDataError, match=r"sklearn.*missing; try: pip install 'tapered\[workloads\]'$"):
        make()


@pytest.mark.parametrize(
    ("name", "option", "line"),
    [
        ("fashion_mnist", 'folder = "{}"', "apt-get install dataset-fashion-mnist"),
        ("characters", 'file = "{}/none.gz"', "apt-get install jargon-text"),
    ],
)
def test_a_study_says_how_to_install_its_data(name, option, line, tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(
        f'name = "s"\nworkload = "{name}"\nworkload_options = {{ {option.format(tmp_path)} }}\nsteps = 5\n'
        'baseline = "a"\npeaks = { low = 0.1, high = 0.1, count = 1 }\n'
        '[[arms]]\nname = "a"\nrule = "SGD"\nlr = "constant(1.0)"\n'
    )
    with pytest.raises(StudyFileError, match=line):
        planned(str(path))


def test_another_table_is_refused(monkeypatch):
    from sklearn import datasets

    x, y = datasets.load_digits(return_X_y=True)
    x[3, 3] += 1
    monkeypatch.setattr(datasets, "load_digits", lambda **_: (x, y))
    with pytest.raises(ChangedDataError, match="scikit-learn's digits has SHA-256"):
        digits()


@pytest.mark.parametrize(
    ("make", "sizes", "counts"),
    [  # examples a class as scikit-learn's descriptions of the tables have them
        (digits, [1197, 300, 300], [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]),
        (breast_cancer, [369, 100, 100], [212, 357]),
        (logistic, [369, 100, 100], [212, 357]),
    ],
)
def test_tables_are_whole(make, sizes, counts):
    found = splits(make())
    assert [len(y) for _, y in found] == sizes
    assert torch.cat([y for _, y in found]).long().bincount().tolist() == counts
    x = found[0][0].double()
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-6)
    assert ((x.std(0, unbiased=False) - 1).abs().lt(1e-6) | x.eq(0).all(0)).all()
    assert len(make().facts["sha256"]) == 64


def test_digits_and_tumours_are_learnt():
    for problem, wanted in ((digits(), 0.85), (breast_cancer(), 0.9)):
        assert evaluate(problem, after(problem, 120, 3e-3), "valid")[0]["accuracy"] > wanted


def test_logistic_has_one_minimum_which_gradient_descent_goes_to():
    problem = logistic()
    x, y = (tensor.double().numpy() for tensor in problem.train.tensors)
    full = np.column_stack([x, np.ones(len(x))])

    def loss(w):
        z = full @ w
        return np.mean(np.logaddexp(0, z) - y * z), full.T @ (1 / (1 + np.exp(-z)) - y) / len(y)

    best = optimize.minimize(loss, np.zeros(11), jac=True, method="BFGS", options={"gtol": 1e-7, "maxiter": 5000})
    assert best.fun > 0.05  # the classes are not separable, or it would be 0
    assert np.abs(best.jac).max() < 1e-5
    rows = after(problem, 600, 1.0, rules.SGD())
    model = problem.build(0)
    initial = loss(np.append(model.w.detach().numpy(), model.b.detach().numpy()).astype(float))[0]
    found = evaluate(problem, rows, "train")[0]["loss"]
    w = np.append(rows.params["w"][0].numpy(), rows.params["b"][0].numpy()).astype(float)
    assert found == pytest.approx(loss(w)[0], rel=1e-5)
    assert best.fun < found < best.fun + 0.05 * (initial - best.fun)


def test_the_linear_model_of_diabetes_goes_to_least_squares():
    problem = diabetes()
    x, y = (tensor.double().numpy() for tensor in problem.train.tensors)
    assert len(np.unique(np.concatenate([tensors[1] for tensors in splits(problem)]))) == 214  # scikit-learn's targets
    assert y.mean() == pytest.approx(0, abs=1e-6)
    assert y.std() == pytest.approx(1, abs=1e-6)
    full = np.column_stack([x, np.ones(len(x))])
    best = np.mean((full @ np.linalg.lstsq(full, y, rcond=None)[0] - y) ** 2)
    assert evaluate(problem, after(problem, 1000, 0.1, rules.SGD()), "train")[0]["loss"] == pytest.approx(
        best, rel=5e-3
    )
    assert diabetes("perceptron").build(0)(problem.train.tensors[0]).shape == (282,)
    with pytest.raises(ValueError, match="model='forest'"):
        diabetes("forest")


def test_the_picture_is_the_crop_and_psnr_is_its_formula():
    from PIL import Image
    from sklearn import datasets

    crop, facts = pixels()
    whole = np.asarray(Image.open(Path(datasets.__file__).parent / "images" / "china.jpg"))
    assert whole.shape == (427, 640, 3)
    np.testing.assert_allclose(crop * 255, whole[64:128, 200:264], atol=1e-4)
    assert facts["sha256 of pixels"] == hashlib.sha256(whole[64:128, 200:264].tobytes()).hexdigest()
    features = encoded().double()
    np.testing.assert_allclose(features[:, :64] ** 2 + features[:, 64:] ** 2, 1, atol=1e-6)
    assert torch.equal(features[0], torch.cat([torch.zeros(64), torch.ones(64)]).double())  # the corner: place (0, 0)
    problem = photo()
    guess = torch.rand(1, 4096, 3)
    error = np.mean((guess.double().numpy() - crop.double().numpy().reshape(1, -1, 3)) ** 2)
    target = problem.train.tensors[1]
    assert float(problem.metrics["psnr"](guess, target)) == pytest.approx(-10 * np.log10(error), rel=1e-6)
    assert problem.loss(guess, target).item() == pytest.approx(error, rel=1e-5)


def test_the_picture_is_learnt_without_noise():
    problem = photo()
    begun, ended = (evaluate(problem, after(problem, steps, 3e-3), "valid")[0]["psnr"] for steps in (0, 40))
    assert ended > begun + 3
    assert torch.equal(problem.batches(0, 0, 5), problem.batches(1, 0, 5))


def test_mnist1d_is_the_published_data():
    """Rows of the package mnist1d 0.0.2.post1's own make_dataset(), to four decimals."""
    x, y = series()
    np.testing.assert_allclose(x[0, :4], [-0.3320, -0.4719, -0.7787, -1.0097], atol=5e-5)
    assert y[:10].tolist() == [2, 6, 4, 5, 6, 6, 6, 0, 3, 1]
    assert np.bincount(y).tolist() == [500] * 10
    assert x.mean() == pytest.approx(0, abs=1e-6)
    assert x.std() == pytest.approx(1, abs=1e-6)
    problem = mnist1d()
    assert [len(labels) for _, labels in splits(problem)] == [3500, 500, 1000]
    np.testing.assert_allclose(problem.test.tensors[0], x[4000:], rtol=1e-6)
    with pytest.raises(ValueError, match="model='mlp'"):
        mnist1d("mlp")


def test_the_recurrent_model_is_torchs():
    torch.manual_seed(0)
    mine, theirs = _Recurrent(5), nn.GRU(1, 5, batch_first=True)
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(mine.given.weight)
        theirs.weight_hh_l0.copy_(mine.kept.weight)
        theirs.bias_ih_l0.copy_(mine.given.bias)
        theirs.bias_hh_l0.copy_(mine.kept.bias)
    x = torch.randn(3, 40)
    torch.testing.assert_close(mine(x), mine.out(theirs(x[..., None])[1][0]))


@pytest.mark.parametrize(
    ("model", "least", "parameters"),
    [("convolutions", 0.4, 24 * 5 + 24 + 2 * (24 * 24 * 3 + 24) + 120 * 10 + 10),
     ("perceptron", 0.3, 40 * 64 + 64 + 64 * 64 + 64 + 64 * 10 + 10)],
)  # fmt: skip
def test_mnist1d_is_learnt(model, least, parameters):
    problem = mnist1d(model)
    assert sum(p.numel() for p in problem.build(0).parameters()) == parameters
    assert evaluate(problem, after(problem, 150, 1e-2), "valid")[0]["accuracy"] > least


def test_letters_are_codes():
    text = "To err\n\tis human; é~ "
    wanted = [0 if c == "\n" else ord(c) - 31 for c in text if c == "\n" or " " <= c <= "~"]
    assert codes(text.encode()).tolist() == wanted
    assert max(wanted) == 95


@pytest.fixture(scope="module")
def topics():
    return characters("topics", batch_size=8, width=32)


def test_topics_are_pythons_own_and_their_hash_is_a_fact(topics):
    import pydoc_data.topics

    raw = Path(pydoc_data.topics.__file__).read_bytes()
    assert topics.facts["sha256"] == hashlib.sha256(raw).hexdigest()
    letters, _ = corpus("topics")
    text = "".join(c for c in raw.decode("latin-1") if c == "\n" or " " <= c <= "~")
    assert "".join("\n" if c == 0 else chr(c + 31) for c in letters[:5000].tolist()) == text[:5000]
    assert len(letters) == len(text)


def test_lines_follow_the_text_and_splits_do_not_overlap(topics):
    letters, _ = corpus("topics")
    inputs, targets = topics.train.tensors
    assert torch.equal(inputs[:, 1:], targets[:, :-1])
    assert torch.equal(topics.valid.tensors[0].flatten()[:4096], letters[:4096])
    assert torch.equal(topics.test.tensors[0].flatten()[:4096], letters[4096:8192])
    assert torch.equal(inputs[0], letters[8192:8256])
    assert sum(len(tensors[0]) for tensors in splits(topics)) == (len(letters) - 65 + 63) // 64


def test_the_transformer_looks_back_only(topics):
    model = topics.build(0).eval()
    line = topics.valid.tensors[0][:1]
    other = line.clone()
    other[0, 40] = (other[0, 40] + 1) % 96
    same = (model(line) - model(other)).abs().amax(-1)[0]
    assert same[:40].max() < 1e-6
    assert same[40] > 1e-3
    assert evaluate(topics, start(topics, rules.Adam(), [0]), "valid")[0]["bits"] == pytest.approx(
        np.log2(96), rel=0.05
    )


def test_letters_are_learnt(topics):
    found = evaluate(topics, after(topics, 60, 1e-2), "valid")[0]
    assert found["bits"] < 4.5  # log2(96) = 6.6 before
    assert found["bits"] == pytest.approx(found["loss"] / np.log(2))


def test_another_text_or_width_is_refused():
    with pytest.raises(ValueError, match="text='bible'"):
        corpus("bible")
    with pytest.raises(ValueError, match="width=64, heads=5"):
        characters("topics", heads=5)


@jargon
def test_the_jargon_file():
    letters, facts = corpus()
    assert len(letters) == 1_585_343
    assert facts["sha256"].startswith("40dfb4b9")
    text = "".join("\n" if c == 0 else chr(c + 31) for c in letters.tolist())
    assert ":hacker:" in text


def test_idx_files_are_read(tmp_path, monkeypatch):
    """A file of two pictures of 2x3, laid out as the format has it."""
    content = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, *range(12)])
    (tmp_path / "two.gz").write_bytes(gzip.compress(content))
    monkeypatch.setitem(SHA256, "two", hashlib.sha256(content).hexdigest())
    assert torch.equal(read("two", str(tmp_path)), torch.arange(12, dtype=torch.uint8).view(2, 2, 3))


def test_fashion_refuses_more_examples_than_there_are():
    with pytest.raises(ValueError, match="examples=60000; expected 1 to 55000"):
        fashion_mnist(examples=60_000)


@fashion
def test_fashion_is_whole_and_its_splits_do_not_overlap():
    assert [read(name).bincount().tolist() for name in SHA256 if "labels" in name] == [[6000] * 10, [1000] * 10]
    raw = read("train-images-idx3-ubyte")
    assert raw.shape == (60_000, 28, 28)
    scaled = raw.float() / 255
    assert scaled.mean().item() == pytest.approx(0.286, abs=5e-4)
    assert scaled.std().item() == pytest.approx(0.353, abs=5e-4)
    problem = fashion_mnist(examples=2000)
    assert [len(labels) for _, labels in splits(problem)] == [2000, 5000, 10_000]
    np.testing.assert_allclose(problem.valid.tensors[0][0, 0] * 0.353 + 0.286, raw[55_000] / 255.0, atol=1e-6)
    assert evaluate(problem, after(problem, 40, 3e-3), "valid")[0]["accuracy"] > 0.5


SMALL = {
    "fashion": lambda: fashion_mnist(examples=64, batch_size=2),
    "diabetes": lambda: diabetes("perceptron"),
    "recurrent": lambda: mnist1d("recurrent", batch_size=4),
    "perceptron": lambda: mnist1d("perceptron", batch_size=4),
}


@pytest.mark.parametrize("name", [pytest.param("fashion", marks=fashion), "diabetes", "recurrent", "perceptron"])
def test_other_models_stack(name):
    assert Probe(SMALL[name](), rules.Adam()).fault() is None


def test_psnr_is_the_same_stacked():
    problem = photo()
    rows = start(problem, rules.Adam(), [0, 1])
    alone, stacked = (evaluate(problem, rows, "valid", mode=mode) for mode in (LOOP, Mode("rows", 8, "")))
    for mine, theirs in zip(alone, stacked, strict=True):
        assert mine["psnr"] == pytest.approx(theirs["psnr"], rel=1e-5)
