"""Pages with tiny networks, and a browser's requests to them."""

from __future__ import annotations

import gzip
import http.client
import json
import threading
from contextlib import contextmanager
from urllib.parse import quote

import numpy as np
import torch
from PIL import Image

from gcseg.data.augment import evaluation_pipeline
from gcseg.data.images import RGB, PictureFormat
from gcseg.data.label_spaces import LabelSpace
from gcseg.demo_page.page import Limits, Page
from gcseg.demo_page.server import Server
from gcseg.demo_page.shown import Shown
from gcseg.inference.protocol import Augmentation, Protocol
from gcseg.models import GCHead, Segmentor
from gcseg.predictor.network import TrainedNetwork
from tests.tiny import CHANNELS, TinyBackbone

SPACE = LabelSpace(("road", "sky", "car"), ((128, 64, 128), (70, 130, 180), (0, 0, 142)))


def network(space=SPACE, head=GCHead, form: PictureFormat = RGB, seed=0):
    torch.manual_seed(seed)
    heads = head(CHANNELS[-1], space.num_classes, channels=16)
    model = Segmentor(TinyBackbone(form.channels), heads, in_channels=form.channels).eval()
    mean, std = [0.5] * form.channels, [0.5] * form.channels
    preprocessing = evaluation_pipeline(
        mean=mean, std=std, pad_height=48, pad_width=0, pictures=form
    )
    once = TrainedNetwork(
        model, space, preprocessing, Protocol("logits"), Augmentation(), device=torch.device("cpu")
    )
    return {"none": once, "flip": once.in_mode(Augmentation((1.0,), flip=True))}


def shown(title="first", form: PictureFormat = RGB, **options):
    return Shown(title, "a tiny network", network(form=form, **options), form)


@contextmanager
def served(*networks, megapixels=1.0, frames=5):
    """A page that listens, and its browser."""
    page = Page(networks or [shown()], Limits(megapixels, frames))
    server = Server(page, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Browser(page, server)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        assert page.close()


class Browser:
    def __init__(self, page, server):
        self.page = page
        self.server = server
        self.host = f"127.0.0.1:{server.server_address[1]}"

    def ask(self, path, method="GET", body=None, **headers):
        """(status, headers, body); headers as `host="..."`."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body, headers=named)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.headers, content

    def json(self, path, method="GET", body=None, status=200):
        found, _, content = self.ask(path, method, body)
        assert found == status, content
        return json.loads(content)

    def give(self, name, content, mode="none", status=200):
        path = f"/files?name={quote(name, safe='')}&mode={mode}"
        return self.json(path, "POST", content, status)

    def refused(self, name, content):
        return self.give(name, content, status=422)["error"]

    def array(self, path, shape):
        status, headers, content = self.ask(path)
        assert status == 200 and headers["Content-Encoding"] == "gzip"
        return np.frombuffer(gzip.decompress(content), np.uint8).reshape(shape)


def picture(folder, name="street.png", height=40, width=56, channels=3, seed=0):
    array = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    path = folder / name
    Image.fromarray(array).save(path)
    return path
