"""The loader on small archives made here, a server that misbehaves, and the publisher's files."""

import io
import os
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pooch
import pytest
import torch
from PIL import Image, ImageDraw

from metarl_lite.data import glyphs, omniglot

real = pytest.mark.skipif("METARL_DATA" not in os.environ, reason="needs METARL_DATA")
NAME = "images_background_small1"


def png(left: int, top: int, right: int, bottom: int) -> bytes:
    image, file = Image.new("1", (105, 105), 1), io.BytesIO()
    ImageDraw.Draw(image).rectangle((left, top, right, bottom), fill=0)
    image.save(file, "png")
    return file.getvalue()


def packed(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def split_of(*alphabets: str) -> bytes:
    return packed(
        {
            f"split/{alphabet}/character{c:02d}/000{c}_{d:02d}.png": png(10, 10, 40 + 5 * c, 50 + d)
            for alphabet in alphabets
            for c in (1, 2)
            for d in range(3)
        }
    )


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Put archives where METARL_DATA points, with checksums that fit."""
    monkeypatch.setenv("METARL_DATA", str(tmp_path))
    (tmp_path / "omniglot").mkdir()

    def write(name: str, content: bytes) -> None:
        path = tmp_path / "omniglot" / f"{name}.zip"
        path.write_bytes(content)
        monkeypatch.setitem(omniglot.ARCHIVES, name, pooch.file_hash(str(path)))

    return write


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A publisher on this computer that sends `answer`, (status, claimed length, bytes)."""
    answer = {"status": 200, "content": b"", "length": None}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(answer["status"])
            self.send_header("Content-Length", answer["length"] or len(answer["content"]))
            self.end_headers()
            self.wfile.write(answer["content"])

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        monkeypatch.setattr(omniglot, "PUBLISHER", f"http://127.0.0.1:{http.server_port}/")
        monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
        for name in ("METARL_DATA", "http_proxy", "HTTP_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield answer
        http.shutdown()
        thread.join()


def cached(tmp_path):
    return [path for path in (tmp_path / "metarl-lite").rglob("*") if path.is_file()]


def test_two_splits_give_each_character_once_in_the_order_of_the_alphabets(publish):
    publish(NAME, split_of("Zeta", "Latin"))
    publish("images_background_small2", split_of("Latin", "Ahom"))
    characters = omniglot.load("background_small1", "background_small2")
    assert characters.alphabets.tolist() == ["Ahom"] * 2 + ["Latin"] * 2 + ["Zeta"] * 2
    assert characters.images.shape == (6, 3, 28, 28)
    assert characters.images.min() == 0.0
    assert characters.images.max() == 1.0


def test_a_drawing_is_centred_and_as_large_as_fits_wherever_it_stood_on_the_page(publish):
    same = {
        "split/A/character01/0001_01.png": png(5, 5, 34, 64),
        "split/A/character01/0001_02.png": png(60, 40, 89, 99),
    }
    publish(NAME, packed(same))
    first, second = omniglot.load("background_small1").images[0]
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(first, first.flip(0).flip(1), atol=0.15, rtol=0)
    rows, columns = (first.amax(dim=axis) > 0.5 for axis in (1, 0))
    assert abs(int(rows.sum()) - 28 / omniglot.MARGIN) <= 1
    assert abs(int(columns.sum()) - rows.sum() / 2) <= 1


def test_a_run_pairs_its_queries_with_the_support_as_its_labels_say(publish):
    files = {}
    for run in range(1, omniglot.NUM_RUNS + 1):
        folder = f"run{run:02d}"
        for i in range(1, 21):
            files[f"{folder}/training/class{i:02d}.png"] = png(2, 2, 40 + 2 * i, 62)
            files[f"{folder}/test/item{i:02d}.png"] = png(2, 2, 40 + 2 * (21 - i), 62)
        files[f"{folder}/class_labels.txt"] = "\n".join(
            f"{folder}/test/item{i:02d}.png {folder}/training/class{21 - i:02d}.png"
            for i in reversed(range(1, 21))
        ).encode()
    publish("all_runs", packed(files))
    support, query, answers = omniglot.load_runs()
    assert support.shape == query.shape == (20, 20, 28, 28)
    assert answers[3].tolist() == list(reversed(range(20)))
    torch.testing.assert_close(query[3], support[3][answers[3]])


@pytest.mark.parametrize("damage", [lambda good: good[:-100], lambda good: good[:50] + b"x" * 99])
def test_a_damaged_archive_in_the_data_folder_is_refused_and_named(publish, tmp_path, damage):
    publish(NAME, good := split_of("A"))
    (tmp_path / "omniglot" / f"{NAME}.zip").write_bytes(damage(good))
    for read in (omniglot.is_available, lambda: omniglot.load("background_small1")):
        with pytest.raises(ValueError, match=rf"{NAME}\.zip is damaged"):
            read()


def test_names_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="background_small3"):
        omniglot.load("background_small3")
    with pytest.raises(ValueError, match="strokes"):
        omniglot.archive("strokes")
    with pytest.raises(ValueError, match="background_small3"):
        glyphs.load("background_small3")


def test_a_data_folder_without_the_archive_says_so(publish):
    with pytest.raises(omniglot.Unavailable, match="all_runs"):
        omniglot.load_runs()
    assert not omniglot.is_available()


def test_a_good_download_is_kept_and_not_asked_for_again(server, tmp_path, monkeypatch):
    server["content"] = split_of("A")
    sha = pooch.file_hash
    (tmp_path / "x").write_bytes(server["content"])
    monkeypatch.setitem(omniglot.ARCHIVES, NAME, sha(str(tmp_path / "x")))
    assert len(omniglot.load("background_small1")) == 2
    server["status"] = 500
    assert len(omniglot.load("background_small1")) == 2


def test_a_wrong_download_is_refused_named_and_deleted(server, tmp_path):
    server["content"] = b"<html>sign in to the hotel's network</html>"
    with pytest.raises(ValueError, match=NAME):
        omniglot.archive(NAME)
    assert not cached(tmp_path)


def test_half_a_download_is_refused_named_and_deleted(server, tmp_path, monkeypatch):
    whole = split_of("A")
    server.update(content=whole[: len(whole) // 2], length=len(whole))
    with pytest.raises(omniglot.Unavailable, match=rf"{NAME}\.zip did not arrive whole"):
        omniglot.archive(NAME)
    assert not cached(tmp_path)


def test_a_file_damaged_in_the_cache_is_fetched_again(server, tmp_path, monkeypatch):
    server["content"] = good = split_of("A")
    (tmp_path / "x").write_bytes(good)
    monkeypatch.setitem(omniglot.ARCHIVES, NAME, pooch.file_hash(str(tmp_path / "x")))
    path = omniglot.archive(NAME)
    path.write_bytes(good[:-7])
    assert omniglot.archive(NAME).read_bytes() == good
    server["status"] = 503
    path.write_bytes(good[:-7])
    with pytest.raises(omniglot.Unavailable):
        omniglot.archive(NAME)


@pytest.mark.parametrize("status", [404, 503])
def test_a_publisher_that_does_not_answer_makes_it_unavailable(server, status):
    server["status"] = status
    assert not omniglot.is_available()


def test_no_network_makes_it_unavailable(server, monkeypatch):
    monkeypatch.setattr(omniglot, "PUBLISHER", "http://127.0.0.1:9/")  # nobody listens there
    assert not omniglot.is_available()


@real
def test_the_small_sets_are_complete():
    characters = omniglot.load()
    assert characters.images.shape == (242, 20, 28, 28)
    assert len(set(characters.alphabets)) == 8
    train, held_out = characters.split(omniglot.HELD_OUT)
    assert (len(train), len(held_out)) == (183, 59)
    ink = characters.images.mean(dim=(2, 3))
    assert ink.min() > 0.01
    assert ink.max() < 0.6


@real
def test_the_runs_are_complete_and_each_answer_is_given_once():
    support, query, answers = omniglot.load_runs()
    assert support.shape == query.shape == (20, 20, 28, 28)
    np.testing.assert_array_equal(answers.sort(dim=1).values, np.tile(np.arange(20), (20, 1)))


@real
def test_neighbours_in_pixel_space_beat_chance_on_the_right_answers_only():
    support, query, answers = omniglot.load_runs()
    found = torch.cdist(query.flatten(2), support.flatten(2)).argmin(dim=-1)
    assert (found == answers).float().mean() > 0.4
    assert (found == answers.roll(1, dims=1)).float().mean() < 0.15
