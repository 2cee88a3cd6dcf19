"""The report of a prepared data set: its figures, its bytes, its size, and what hostile names cannot do to it."""

import html.parser
import json
import time
import tracemalloc
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prepared_folder import SCHEMA, Input, make

from stages.preparation import report, report_page


def noise(number: int, shape: tuple[int, int, int] = (3, 8, 8)) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, shape, np.uint8)


def usual(count: int = 60) -> list[Input]:
    """Images of three classes, some of them set aside: a duplicate, a near duplicate, and others."""
    inputs = [Input(f"{n % 3}/{n:03d}.png", noise(n), str(n % 3), bytes=100 + n) for n in range(count)]
    inputs[7] = Input("1/007.png", None, "1", reason="cannot be decoded: truncated", bytes=-1, size=(-1, -1), mode=None)
    inputs[8] = Input("2/008.png", noise(5), "2", reason="has the pixels of 2/005.png", twin="2/005.png")
    inputs[9] = Input("0/009.png", noise(9), "0", reason="is too small: 4×4", size=(4, 4))
    inputs[10] = Input("1/010.gif", noise(10), "1", frames=12, mode="P")
    return inputs


def written(out, inputs: list[Input], shape=(3, 8, 8), **options) -> tuple[dict, str]:
    """report.json and report.html of these inputs."""
    aside = {number: one.pixels for number, one in enumerate(inputs) if one.reason}
    report.write(out, make(out, inputs, shape, **options), aside.get)
    return json.loads((out / "report.json").read_text("utf-8")), (out / "report.html").read_text("utf-8")


class Page(html.parser.HTMLParser):
    """What a browser would make of a page: its elements with attributes, its text."""

    def __init__(self, text: str):
        super().__init__()
        self.elements, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words.append(data)

    def shape(self) -> Counter:
        return Counter((tag, *sorted(attributes)) for tag, attributes in self.elements)

    def pictures(self) -> list[str]:
        return [attributes["src"] for tag, attributes in self.elements if tag == "img"]


def test_the_counts_add_up_and_every_reason_is_counted_once(tmp_path):
    found, page = written(tmp_path, usual())
    counts = found["counts"]
    assert counts["inputs"] == 60 == counts["kept"] + counts["set_aside"] and counts["set_aside"] == 3
    assert counts["train"] + counts["heldout"] == counts["kept"] == 57
    assert {one["kind"]: one["count"] for one in found["set_aside"]} == {
        "cannot be decoded": 1, "has the pixels of": 1, "is too small": 1,
    }  # fmt: skip
    assert sum(one["train"] + one["heldout"] for one in found["classes"]) == 57
    assert (found["animated"], found["modes"]) == (1, {"RGB": 58, "P": 1})
    assert found["sizes"]["known"] == 59 and {"width": 4, "height": 4, "count": 1} in found["sizes"]["frequent"]
    assert sum(one["count"] for one in found["sizes"]["octaves"]) == 59
    assert "cannot be decoded: truncated" in page and "2/008.png" in page


def test_a_reason_that_no_phrase_fits_and_a_missing_one_are_kinds_too(tmp_path):
    inputs = [*usual(), Input("x", reason="was eaten by a dog")]
    card = make(tmp_path, inputs, (3, 8, 8))
    table = pq.read_table(tmp_path / "manifest.parquet").to_pylist()
    table[9]["reason"] = None
    pq.write_table(pa.Table.from_pylist(table, SCHEMA), tmp_path / "manifest.parquet")
    report.write(tmp_path, card, lambda row: None)
    kinds = {one["kind"] for one in json.loads((tmp_path / "report.json").read_text())["set_aside"]}
    assert {"other reasons", "no reason given"} < kinds


def test_a_card_that_counts_otherwise_than_the_manifest_is_refused(tmp_path):
    card = make(tmp_path, usual(), (3, 8, 8))
    card["counts"]["heldout"] += 1
    with pytest.raises(ValueError, match="dvc repro prepare"):
        report.write(tmp_path, card, lambda row: None)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_mean_and_deviation_are_those_of_all_kept_pixels_in_any_order(tmp_path, channels):
    inputs = [Input(f"{n}.png", noise(n, (channels, 8, 6))) for n in range(40)]
    pixels = np.stack([one.pixels for one in inputs]).astype(np.float64)
    found, _ = written(tmp_path / "one", inputs, (channels, 8, 6))
    other, _ = written(tmp_path / "other", inputs[::-1], (channels, 8, 6))
    assert found["channels"] == other["channels"]
    np.testing.assert_allclose([one["mean"] for one in found["channels"]], pixels.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose([one["deviation"] for one in found["channels"]], pixels.std((0, 2, 3)), rtol=1e-12)
    share = found["transparent_share"]
    assert share is None if channels < 4 else share == pytest.approx((pixels[:, 3] == 0).mean())


def test_quantiles_of_file_sizes_are_sizes_of_files(tmp_path):
    inputs = [Input(f"{n}.png", noise(n), bytes=size) for n, size in enumerate([-1, *range(1, 102)])]
    found, _ = written(tmp_path, inputs)
    quantiles = dict(found["bytes"]["quantiles"])
    assert quantiles == {"smallest": 1, "5 %": 6, "25 %": 26, "median": 51, "75 %": 76, "95 %": 96, "largest": 101}
    assert (found["bytes"]["known"], found["bytes"]["total"]) == (101, 101 * 102 // 2)


def test_a_near_duplicate_in_the_other_split_is_leakage_and_one_in_the_same_is_not(tmp_path):
    inputs = usual()
    inputs[20] = Input("a.png", noise(20), "2", split="heldout", twin="b.png")
    inputs[21] = Input("b.png", noise(21), "0", split="train")
    inputs[22] = Input("c.png", noise(22), "1", split="train", twin="b.png")
    found, page = written(tmp_path, inputs)
    twins = found["twins"]
    assert (twins["kept"], twins["leaks"], twins["set_aside"]) == (2, 1, 0)
    assert twins["examples"] == [{"path": "a.png", "split": "heldout", "twin": "b.png", "twin_split": "train"}]
    assert "leakage" in page
    shown = Page(page).pictures()
    assert report_page.data_uri(noise(20)) in shown and report_page.data_uri(noise(21)) in shown


def test_what_was_set_aside_because_it_would_leak_is_listed_as_that(tmp_path):
    inputs = usual()
    words = "is a near duplicate of 0/021.png, which is held out: it would leak"
    inputs[20] = Input("a.png", noise(999), "2", reason=words, twin="0/021.png")
    found, page = written(tmp_path, inputs)
    assert (found["twins"]["set_aside"], found["twins"]["leaks"]) == (1, 0)
    assert [one["path"] for one in found["twins"]["set_aside_examples"]] == ["a.png"]
    assert "1 input would have leaked" in page and report_page.data_uri(noise(999)) in Page(page).pictures()


def test_a_source_with_settings_is_named_by_its_path_and_the_form_is_in_words(tmp_path):
    form = {"resolution": [8, 12], "channels": 3, "alpha": "black", "fit": "pad", "filter": "box", "jpeg_draft": False,
            "min_side": 8, "max_pixels": 10**8, "new_setting": {"a": 1}}  # fmt: skip
    card = make(tmp_path, usual(), (3, 8, 8), form) | {"source": {"path": "data/<mine>", "name": "auto"}}
    report.write(tmp_path, card, lambda row: None)
    words = " ".join(" ".join(Page((tmp_path / "report.html").read_text("utf-8")).words).split())
    assert "Data set data/<mine>" in words and "size 12 × 8 pixels channels 3, RGB transparency laid on black" in words
    assert "the whole picture, the rest filled" in words and "than 100,000,000 pixels" in words
    assert "new setting {'a': 1}" in words


def test_a_duplicate_stands_beside_its_twin(tmp_path):
    inputs = usual()
    inputs[8].pixels = noise(999)  # as a near duplicate would differ
    shown = Page(written(tmp_path, inputs)[1]).pictures()
    place = shown.index(report_page.data_uri(noise(999)))
    assert shown[place + 1] == report_page.data_uri(noise(5))


HOSTILE = ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "a\nb\r\0c", "\u202egnp.exe", "</style></head>",
           "{{ 7 * 7 }}", "&lt;b&gt;", "ภาพ/صورة/画像/می‌خواهم.png", "x" * 4000]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_strangers_are_text_and_nothing_else(tmp_path, name):
    innocent = Page(written(tmp_path / "a", _named("innocent"), form={"filter": "innocent"})[1])
    text = written(tmp_path / "b", _named(name), form={"filter": name})[1]
    page = Page(text)
    assert page.shape() == innocent.shape(), "a name makes no element and no attribute"
    assert "script" not in dict(page.elements) and all(uri.startswith("data:image/png;base64,") for uri in page.pictures())
    assert not any(letter in text for letter in "\u202e\0\r")
    assert report_page.visible(name) in "".join(page.words), "it is shown"


def _named(name: str) -> list[Input]:
    inputs = usual()
    inputs[8] = Input(f"{name}.png", noise(5), name, reason=f"has the pixels of {name}", twin=name)
    inputs[5] = Input(name, noise(5), name, mode=name[:20], split="train")
    inputs[6] = Input(f"{name} 6", noise(6), name, twin=name, split="heldout")
    return inputs


def test_joiners_that_scripts_and_emoji_need_stay_and_what_steers_is_written_out():
    assert report_page.visible("می‌خواهم 👩‍🚀") == "می‌خواهم 👩‍🚀"
    assert report_page.visible("a\u202eb\n\u2028\ud800") == r"a\u202eb\n\u2028\ud800"


def test_the_page_asks_for_nothing_from_outside(tmp_path):
    _, text = written(tmp_path, usual())
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in page.elements}
    assert "http:" not in text and "https:" not in text and "url(" not in text and "@import" not in text
    policies = [attributes["content"] for tag, attributes in page.elements if tag == "meta" and "http-equiv" in attributes]
    assert len(policies) == 1 and policies[0].startswith("default-src 'none'")


def test_the_same_folder_gives_the_same_bytes_wherever_it_lies(tmp_path):
    first, second = (written(tmp_path / name, usual())[1] for name in ("one", "another"))
    assert first == second and str(tmp_path) not in first
    assert (tmp_path / "one/report.json").read_bytes() == (tmp_path / "another/report.json").read_bytes()


@pytest.mark.parametrize("classes", [0, 1, 2, 20, 21])
def test_the_montage_has_a_column_a_class_where_they_are_few(tmp_path, classes):
    inputs = [Input(f"{n}.png", noise(n), f"c{n % classes:02d}" if classes else None, split="train") for n in range(200)]
    inputs.append(Input("heldout.png", noise(500), "c00" if classes else None, split="heldout"))
    out = tmp_path / "out"
    montage = report._montage(out, make(out, inputs, (3, 8, 8)))
    by_class = 2 <= classes <= 20
    assert [name for name, _ in montage] == ([f"c{n:02d}" for n in range(classes)] if by_class else [None])
    assert sum(len(uris) for _, uris in montage) == ({2: 16, 20: 80}[classes] if by_class else 64)
    own = {report_page.data_uri(one.pixels): one.class_name for one in inputs[:-1]}
    assert all(own[uri] == name for name, uris in montage for uri in uris if name)


def test_a_page_stays_below_five_megabytes_with_pictures_that_cannot_be_compressed(tmp_path):
    inputs = []
    for n in range(300):
        inputs.append(Input("ж" * 500 + f"{n}", noise(n, (4, 96, 96)), f"{n % 20}" + "ж" * 300, split="train"))
        reason = f"{report.KINDS[n % len(report.KINDS)]} {'ж' * 500} {report.LEAK}"
        inputs.append(Input("&" * 500 + f"{n}", noise(n, (4, 96, 96)), "0" + "ж" * 300, reason=reason, twin=inputs[-1].path))
    inputs.append(Input("last", noise(9999, (4, 96, 96)), split="heldout"))
    _, page = written(tmp_path, inputs, (4, 96, 96))
    assert 200 <= len(Page(page).pictures()) <= 204 and len(page.encode()) < 5e6  # as many as the budget of examples leaves


def test_thousands_of_classes_and_sizes_are_summed_up(tmp_path):
    inputs = [Input(f"{n}", noise(n), f"class {n:05d}", size=(n + 1, n + 1)) for n in range(5000)]
    found, page = written(tmp_path, inputs)
    assert found["sizes"]["different"] is None and len(found["classes"]) == 5000
    assert "4,940 more" in page and len(page) < 300_000


def test_an_empty_list_of_what_was_set_aside_is_a_sentence(tmp_path):
    _, page = written(tmp_path, [Input(f"{n}", noise(n)) for n in range(20)])
    assert "Every input was kept." in page


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({3: {"class_name": "rare"}}, "far from balanced: &#39;rare&#39; has"),
        ({3: {"class_name": "rare", "split": "train"}}, "1 of 4 classes have no held-out image"),
        ({n: {"reason": "is empty"} for n in range(20, 40)}, "38.3 % of the inputs were set aside"),
        ({3: {"size": (7, 100)}}, "2 inputs are smaller than the prepared images"),
        ({9: {"reason": None, "size": (9, 9)}}, "nothing stands out"),
    ],
)
def test_what_a_person_should_look_at_is_said_first(tmp_path, changes, sentence):
    inputs = usual()
    for number, fields in changes.items():
        for name, value in fields.items():
            setattr(inputs[number], name, value)
    _, page = written(tmp_path, inputs)
    assert sentence in page


def test_a_fifth_of_a_million_rows_takes_seconds_and_little_memory(tmp_path):
    """Processor seconds, so that a busy machine fails nothing; memory beyond what Arrow holds for a batch."""
    count, kept = 200_000, 100
    card = make(tmp_path, [Input(f"{n}", noise(n), str(n % 10), twin=f"{n ^ 1}") for n in range(kept)], (3, 8, 8))
    rows = pq.read_table(tmp_path / "manifest.parquet")
    with pq.ParquetWriter(tmp_path / "manifest.parquet", SCHEMA) as writer:
        writer.write_table(rows)
        for start in range(kept, count, 50_000):
            numbers = range(start, min(start + 50_000, count))
            columns = {
                "path": [f"some/folder/{n:09d}.jpg" for n in numbers], "bytes": numbers,
                "width": [n % 5000 + 1 for n in numbers],
                "height": [n % 300 + 1 for n in numbers], "mode": [("RGB", "L")[n % 2] for n in numbers],
                "reason": [f"{report.KINDS[n % 8]} {n}" for n in numbers], "twin": [f"{n % kept}" for n in numbers],
            }  # fmt: skip
            constant = {
                "sha256": None, "frames": 1, "class": None, "published": None, "label": -1, "split": None, "shard": None, "index": -1,
                "verdict": "set aside",
            }  # fmt: skip
            columns |= {name: [value] * len(numbers) for name, value in constant.items()}
            writer.write_table(pa.table([pa.array(columns[one.name], one.type) for one in SCHEMA], SCHEMA))
    card["counts"] |= {"inputs": count, "set_aside": count - kept}
    tracemalloc.start()
    started_s = time.process_time()
    report.write(tmp_path, card, lambda row: noise(row))
    taken_s, (_, peak) = time.process_time() - started_s, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken_s < 20 and peak < 60e6
    assert (tmp_path / "report.html").stat().st_size < 1e6
