#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "pillow==13.0.0"]
# ///
"""Paints the bundled site's images. Every pixel comes from here; nothing is photographed or borrowed.

    python3 -m venv .venv && .venv/bin/pip install numpy==2.4.6 pillow==13.0.0
    .venv/bin/python xtask/site/images.py            # all of them, about 10 s
    .venv/bin/python xtask/site/images.py logo       # one of: logo banner photo gallery

The seeds are fixed, so the same versions paint the same bytes. Map:

    scenes    logo, banner, photo, gallery: what is in each picture
    nature    sky, sea, stars: what the scenes share
    brush     the strokes that turn a computed scene into a painted one
    canvas    gradients, noise, masks, compositing on float arrays in 0..1
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

OUT = Path(__file__).resolve().parents[2] / "resources"

INK, TIDE, AQUA = "#0c2733", "#17697a", "#74d0c9"
FOAM, BRASS = "#f4efe4", "#f0a93f"
EDGE = 0.10  # a step in any colour channel that no brush stroke may cross


# ---- scenes -----------------------------------------------------------------------------------


def logo():
    """The mark: two posts, a raised gate, a lamp, and a wave that passes beneath (64-unit grid)."""
    mark(512).save(OUT / "logo.png", optimize=True)
    mark(256).save(OUT / "favicon.ico", sizes=[(s, s) for s in (16, 32, 48, 64)])


def mark(size):
    unit = size * 4 / 64  # painted four times too large and shrunk: smooth edges
    image = Image.new("RGBA", (size * 4, size * 4))
    draw = ImageDraw.Draw(image)

    def box(x0, y0, x1, y1, radius, fill):
        draw.rounded_rectangle([v * unit for v in (x0, y0, x1, y1)], radius * unit, fill)

    box(0, 0, 63.9, 63.9, 15, INK)
    box(23, 18, 41, 30, 0.5, TIDE)
    for post in (16, 41):
        box(post, 13, post + 7, 53, 2.5, FOAM)
    box(12, 12, 52, 18.5, 3, FOAM)
    draw.ellipse([v * unit for v in (28.4, 3.6, 35.6, 10.8)], BRASS)
    for width, colour in ((10.5, INK), (5.5, AQUA)):
        for x in np.arange(7, 57, 0.05):
            # High and restless outside the gate, nearly flat once through it.
            swell = 5.2 * (1 - x / 76) * np.sin((x - 7) / 50 * 2.5 * 2 * np.pi)
            y, r = 43 + swell, width / 2
            draw.ellipse([v * unit for v in (x - r, y - r, x + r, y + r)], colour)
    return image.resize((size, size), Image.LANCZOS)


def banner():
    """Nine tides at dusk, each nearer and darker; kept above 1 MB by its grain, for `sendfile`."""
    rng = np.random.default_rng(1871)
    w, h = 1680, 620
    sky = [(0, "#1b2a4e"), (0.2, "#4b4777"), (0.38, "#a8627f"), (0.5, "#e8936f"), (0.58, "#f9cf91")]
    img = gradient(w, h, sky)
    x, y = grid(w, h)
    img = clouds(img, rng, 0.50, "#ffcfa4", 0.5)
    img = glow(img, 1130, 330, 52, "#fff2d0", "#ff9d5c")
    far, middle, near = "#cf8f8f", "#37667a", "#071824"
    for layer in range(9):
        t = layer / 8
        base = 338 + 262 * t**1.35
        amp, length = 7 + 38 * t, 260 + 560 * t
        drift = fbm(rng, 1, w, 90 + 260 * t)[0] - 0.5
        phase = x[0] / length * 2 * np.pi + rng.uniform(0, 6.28) + drift * 2.4
        # Sharpened crests and broad troughs: a trochoid's shape, not a sine's.
        crest = base - amp * (1 - 2 * np.abs(np.sin(phase / 2)) ** 1.35) - drift * amp * 0.9
        depth = y - crest[None, :]
        tone = mix(far, middle, t * 2) if t < 0.5 else mix(middle, near, t * 2 - 1)
        body = tone * (1 - 0.30 * np.clip(depth / (60 + 90 * t), 0, 1))[..., None]
        sunward = np.exp(-(((x - 1130) / (190 + 330 * t)) ** 2))
        rim = np.exp(-np.clip(depth, 0, None) / (1.6 + 4 * t)) * (0.34 + 0.5 * sunward) * (1 - 0.45 * t)
        veil = np.exp(-np.clip(depth, 0, None) / (20 + 34 * t)) * 0.24 * (1 - 0.8 * t)
        streak = fbm(rng, h, w, 150, 9) - 0.5
        body = body + streak[..., None] * (0.07 + 0.05 * t) * rgb("#9fd0d8")
        body = over(body, veil, "#f2a98a")
        body = over(body, rim, "#ffe3bd")
        img = over(img, smooth(depth, -0.8, 0.8), body)
    img = vignette(img, 0.22) + rng.normal(0, 0.0105, (h, w, 1))
    save(img, "banner.png", optimize=True)


def photo():
    """A harbour at dawn: hills in haze, boats at their moorings, the gate with its lamp lit."""
    rng = np.random.default_rng(542)
    w, h, line = 1500, 1000, 560
    img = gradient(w, h, [(0, "#5d84a6"), (0.22, "#9fb6c0"), (0.40, "#f0d3b0"), (0.56, "#fbb98a")])
    img = clouds(img, rng, 0.46, "#fff0dc", 0.75)
    img = glow(img, 470, line - 128, 30, "#fff8e2", "#ffc27a")
    for step, (height, colour) in enumerate([(120, "#b9a9ae"), (82, "#8c8e9f"), (46, "#5f7287")]):
        ridge = fbm(rng, 1, w, 330 - 70 * step)[0] * height * 1.5
        mist = np.clip((grid(w, h)[1] - (line - height)) / height, 0, 1) * 0.45
        hill = over(np.broadcast_to(rgb(colour), img.shape), mist, "#f3c9a2")
        img = over(img, smooth(grid(w, h)[1] - (line - 12 - ridge)[None, :], -1, 1), hill)
    img = quay(img, line)
    for x, size in ((250, 0.72), (365, 0.55), (590, 0.9), (712, 0.62)):
        img = boat(img, x, line + 2, size, "#23384a")
    img = reflect(img, rng, line, "#7797a6", 0.24, 15)
    img = boat(img, 400, 770, 2.1, "#152837", hull_only=False)
    shadow = smooth(-np.hypot((grid(w, h)[0] - 402) / 150, (grid(w, h)[1] - 780) / 15), -1.25, -0.2)
    img = over(img, shadow * 0.5 * (grid(w, h)[1] > 776), "#152837")
    save(painted(img, rng, 0.8), "photo.jpg", quality=86, optimize=True, progressive=True)


def gallery():
    """The same coast by night: one light, its beam, and a moon on a sea that wants in."""
    rng = np.random.default_rng(1953)
    w, h, line = 1500, 1000, 600
    img = gradient(w, h, [(0, "#060d1f"), (0.3, "#10244a"), (0.52, "#2b5573"), (0.6, "#6f9fa6")])
    img = stars(img, rng, line)
    img = clouds(img, rng, 0.52, "#5f86a3", 0.45)
    img = glow(img, 400, 210, 40, "#fdf6df", "#8fb4cf", reach=5)
    lamp = (1091, 318)
    img = beam(img, lamp, np.pi * 1.13, 0.06, "#ffe9b0", 0.75)
    img = beam(img, lamp, np.pi * 0.13, 0.075, "#ffe9b0", 0.4)
    img = reflect(img, rng, line, "#0e2c44", 0.42, 34)
    img = glitter(img, rng, 400, line, "#f3ecd2")
    img = swell(img, rng, line)
    img = lighthouse(img, rng, lamp)
    save(painted(img, rng, 0.75), "gallery.jpg", quality=86, optimize=True, progressive=True)


# ---- nature -----------------------------------------------------------------------------------


def clouds(img, rng, low, colour, strength):
    """Long flat clouds: noise that is nine times wider than tall, thinned to wisps."""
    h, w, _ = img.shape
    noise = fbm(rng, h, w, 620, 62) * 0.7 + fbm(rng, h, w, 150, 16) * 0.3
    mask = smooth(noise, low, low + 0.32)
    return over(img, mask * strength, colour)


def glow(img, cx, cy, radius, core, halo, reach=9):
    x, y = grid(img.shape[1], img.shape[0])
    r = np.hypot(x - cx, y - cy)
    img = over(img, 0.62 * np.exp(-r / (radius * reach * 0.55)), halo)
    img = over(img, 0.55 * np.exp(-r / (radius * 1.5)), core)
    return over(img, smooth(radius - r, -1.5, 1.5), core)


def stars(img, rng, line):
    h, w, _ = img.shape
    sky = Image.new("L", (w * 2, h * 2))
    draw = ImageDraw.Draw(sky)
    for _ in range(900):
        x, y = rng.uniform(0, w * 2), rng.uniform(0, 1) ** 1.4 * line * 2
        r = 0.8 + 2.6 * rng.uniform() ** 6
        draw.ellipse([x - r, y - r, x + r, y + r], int(90 + 165 * rng.uniform()))
    x, y = grid(w, h)
    band = np.exp(-(((y - 0.34 * x + 40) / 150) ** 2)) * fbm(rng, h, w, 240) ** 1.6
    img = over(img, band * 0.42, "#8fa6cf")
    return over(img, array(sky.resize((w, h), Image.LANCZOS)), "#fdfbee")


def reflect(img, rng, line, tint, strength, amplitude):
    """Mirrors what stands above `line` into the water: ripples grow towards the viewer."""
    h, w, _ = img.shape
    x, y = grid(w, h)
    depth = np.clip((y - line) / (h - line), 0, 1)
    ripple = fbm(rng, h, w, 120, 7) * 0.6 + fbm(rng, h, w, 260, 18) * 0.4 - 0.5
    rows = np.clip(2 * line - y + ripple * amplitude * 5 * (0.12 + depth), 0, line - 1)
    cols = np.clip(x + ripple * amplitude * (0.3 + depth), 0, w - 1)
    water = img[rows.astype(int), cols.astype(int)]
    water = over(water, strength + 0.35 * depth, tint)
    water = water + (ripple * (0.05 + 0.13 * depth))[..., None] * rgb("#fff3df")
    return over(img, smooth(y - line, -0.7, 0.7), water)


def glitter(img, rng, cx, line, colour):
    """The moon's road: short level dashes, denser at the horizon, wider near the viewer."""
    h, w, _ = img.shape
    road = Image.new("L", (w, h))
    draw = ImageDraw.Draw(road)
    for _ in range(1500):
        depth = rng.uniform() ** 1.5
        y = line + 3 + depth * (h - line)
        x = cx + rng.normal(0, 16 + 95 * depth)
        half = (4 + 30 * depth) * rng.uniform(0.3, 1)
        draw.line([x - half, y, x + half, y], int(rng.uniform(60, 235)), int(1 + 3.4 * depth))
    return over(img, array(road.filter(ImageFilter.GaussianBlur(0.9))) * 0.72, colour)


def swell(img, rng, line):
    """Four dark swells with pale crests between the horizon and the viewer."""
    h, w, _ = img.shape
    x, y = grid(w, h)
    for t in (0.25, 0.5, 0.75, 1.0):
        drift = fbm(rng, 1, w, 280)[0] - 0.5
        phase = x[0] / (230 + 420 * t) * 2 * np.pi + rng.uniform(0, 6.28) + drift * 3
        crest = line + 40 + 300 * t**1.3 + (12 + 26 * t) * (np.abs(np.sin(phase / 2)) ** 1.3 - drift * 1.4)
        depth = np.clip(y - crest[None, :], 0, None)
        inside = smooth(y - crest[None, :], -1, 1)
        img = over(img, inside * np.exp(-depth / (26 + 60 * t)) * 0.62, "#06182a")
        foam = fbm(rng, h, w, 46, 9)
        img = over(img, inside * np.exp(-depth / (2 + 7 * t)) * smooth(foam, 0.42, 0.7) * 0.6, "#cfe6e4")
    return img


def beam(img, lamp, angle, spread, colour, strength):
    x, y = grid(img.shape[1], img.shape[0])
    dx, dy = x - lamp[0], y - lamp[1]
    off = np.arctan2(dy, dx) - angle
    off = (off + np.pi) % (2 * np.pi) - np.pi
    light = np.exp(-((off / spread) ** 2) * 1.6) * np.exp(-np.hypot(dx, dy) / 780)
    return over(img, np.clip(light * strength, 0, 1), colour)


def lighthouse(img, rng, lamp):
    x, y = lamp
    h, w, _ = img.shape
    img = over(img, polygon(w, h, [(x - 29, y + 26), (x + 29, y + 26), (x + 47, 610), (x - 47, 610)]), "#dfe3dc")
    shade = [(x + 4, y + 26), (x + 29, y + 26), (x + 47, 610), (x + 9, 610)]
    img = over(img, polygon(w, h, shade) * 0.62, "#35566c")
    for top, bottom in ((400, 450), (505, 560)):
        k0, k1 = (29 + 18 * (v - y - 26) / (584 - y) for v in (top, bottom))
        band = [(x - k0, top), (x + k0, top), (x + k1, bottom), (x - k1, bottom)]
        img = over(img, polygon(w, h, band) * 0.92, "#8e3130")
    img = over(img, polygon(w, h, [(x - 38, y + 20), (x + 38, y + 20), (x + 38, y + 29), (x - 38, y + 29)]), "#13222e")
    img = over(img, polygon(w, h, [(x - 19, y - 19), (x + 19, y - 19), (x + 19, y + 20), (x - 19, y + 20)]), "#ffe7a6")
    img = over(img, polygon(w, h, [(x - 27, y - 18), (x, y - 46), (x + 27, y - 18)]), "#13222e")
    rock, lit = [], []
    for t in np.linspace(0, 1, 60):
        top = 742 - 132 * np.exp(-(((t - 0.44) / 0.30) ** 2)) - 74 * t + rng.normal(0, 6)
        rock.append((810 + 690 * t, top))
        lit.append((810 + 690 * t, top + 9 * (1 - t)))
    img = over(img, polygon(w, h, [*rock, (1500, 800), (1180, 775), (960, 760)]), "#0a1622")
    img = over(img, polygon(w, h, [*rock, *lit[::-1]]) * 0.55, "#7fa3b5")
    return glow(img, x, y, 9, "#fffbe6", "#ffd98a", reach=10)


def quay(img, line):
    """A breakwater from the right, the tide gate in it, a lamp on the gate."""
    h, w, _ = img.shape

    def block(points, colour, alpha=1.0):
        nonlocal img
        img = over(img, polygon(w, h, points) * alpha, colour)

    block([(905, line), (935, line - 32), (1500, line - 44), (1500, line + 1)], "#2d4152")
    block([(905, line), (935, line - 32), (1500, line - 44), (1500, line - 37), (940, line - 26)], "#d39a78", 0.7)
    for left in (1010, 1120):
        block([(left, line), (left, line - 190), (left + 24, line - 190), (left + 24, line)], "#203443")
        block([(left, line), (left, line - 190), (left + 5, line - 190), (left + 5, line)], "#eeb48c", 0.75)
    block([(996, line - 204), (1158, line - 204), (1158, line - 180), (996, line - 180)], "#1b2d3b")
    block([(996, line - 204), (1158, line - 204), (1158, line - 199), (996, line - 199)], "#f4c197", 0.8)
    block([(1034, line - 172), (1120, line - 172), (1120, line - 92), (1034, line - 92)], "#36586a")
    for bar in range(4):
        top = line - 164 + bar * 19
        block([(1034, top), (1120, top), (1120, top + 4), (1034, top + 4)], "#1f3644")
    block([(1230, line - 40), (1230, line - 108), (1330, line - 108), (1330, line - 40)], "#4a5763")
    block([(1216, line - 104), (1280, line - 146), (1344, line - 104)], "#8a4a3f")
    block([(1268, line - 88), (1292, line - 88), (1292, line - 62), (1268, line - 62)], "#ffd58c")
    return glow(img, 1077, line - 222, 7, "#fff3c9", "#ffb65a", reach=6)


def boat(img, x, y, size, colour, hull_only=True):
    h, w, _ = img.shape

    def part(points, tone, alpha=1.0):
        nonlocal img
        img = over(img, polygon(w, h, [(x + px * size, y + py * size) for px, py in points]) * alpha, tone)

    part([(-58, -13), (62, -17), (48, 3), (-44, 3)], colour)
    part([(-58, -13), (62, -17), (61, -13.5), (-57, -10)], "#f6d3b0", 0.85)
    part([(-20, -14), (-16, -27), (18, -28), (24, -15)], "#e9dccb" if not hull_only else "#6f7f8a")
    part([(3, -15), (3, -150), (5.2, -150), (5.2, -15)], colour)
    part([(5, -26), (-48, -23), (-48, -26), (5, -31)], "#b9503c" if not hull_only else "#55697a")
    for end in (-56, 61):
        part([(4, -149), (end, -15), (end + 0.9, -15), (4.9, -149)], colour, 0.55)
    return img


# ---- brush ------------------------------------------------------------------------------------


def painted(img, rng, strength):
    """Repaints a scene in three passes of strokes, wide to fine; fine ones go where there is detail."""
    h, w, _ = img.shape
    source = np.clip(img, 0, 1)
    gray = source.mean(axis=2)
    detail = np.hypot(*np.gradient(gray))
    detail = array(Image.fromarray(np.uint8(np.clip(detail * 14, 0, 1) * 255)).filter(ImageFilter.BoxBlur(5)))
    tilt = (fbm(rng, h, w, 260) - 0.5) * 1.1
    canvas = Image.fromarray(np.uint8(source * 255)).resize((w * 2, h * 2))
    draw = ImageDraw.Draw(canvas)
    for count, length, width, threshold in ((9000, 34, 11, 0.16), (22000, 20, 6, 0.36), (30000, 10, 3, 0.75)):
        for px, py in zip(rng.integers(0, w, count), rng.integers(0, h, count)):
            tone = source[py, px] + rng.normal(0, 0.012) + rng.normal(0, 0.006, 3)
            reach = length * rng.uniform(0.5, 1.2)
            dx, dy = reach * np.cos(tilt[py, px]), reach * np.sin(tilt[py, px]) * 0.6
            if detail[py, px] > threshold or crosses_edge(source, px, py, dx, dy):
                continue
            ends = [2 * (px - dx), 2 * (py - dy), 2 * (px + dx), 2 * (py + dy)]
            draw.line(ends, tuple(np.uint8(np.clip(tone, 0, 1) * 255).tolist()), width)
    strokes = np.asarray(canvas.resize((w, h), Image.LANCZOS), dtype=float) / 255
    weave = (fbm(rng, h, w, 5, 3) - 0.5)[..., None] * 0.028
    return vignette(mix(source, strokes, strength), 0.2) + weave


def crosses_edge(source, px, py, dx, dy):
    """A stroke ends where the colour does, so that masts and lamps stay sharp."""
    h, w, _ = source.shape
    along = np.linspace(-1, 1, 25)  # under 4 px apart on the longest stroke
    cols = np.clip(px + along * dx, 0, w - 1).astype(int)
    rows = np.clip(py + along * dy, 0, h - 1).astype(int)
    return np.abs(source[rows, cols] - source[py, px]).max() > EDGE


# ---- canvas -----------------------------------------------------------------------------------


def rgb(colour):
    """A `#rrggbb` text as floats; arrays pass through, so colours and pictures are one thing."""
    if not isinstance(colour, str):
        return colour
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def mix(a, b, t):
    return rgb(a) * (1 - t) + rgb(b) * t


def over(img, mask, colour):
    return img + np.clip(mask, 0, 1)[..., None] * (rgb(colour) - img)


def smooth(value, low, high):
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def grid(w, h):
    return np.meshgrid(np.arange(w, dtype=float), np.arange(h, dtype=float))


def gradient(w, h, stops):
    at = [p * h for p, _ in stops]
    column = np.stack([np.interp(np.arange(h), at, [rgb(c)[i] for _, c in stops]) for i in range(3)], axis=1)
    return np.repeat(column[:, None, :], w, axis=1)


def fbm(rng, h, w, across, down=None):
    """Fractal value noise, 0..1: five octaves, features `across` by `down` pixels wide."""
    down = across if down is None else down
    total, weight = np.zeros((h, w)), 0.0
    for octave in range(5):
        cells = (max(2, int(w / across * 2**octave) + 2), max(1, int(h / down * 2**octave) + 1))
        cells = (min(cells[0], w), min(cells[1], h))
        coarse = Image.fromarray(rng.uniform(0, 1, (cells[1], cells[0])).astype(np.float32))
        total += np.asarray(coarse.resize((w, h), Image.BICUBIC)) * 0.5**octave
        weight += 0.5**octave
    return np.clip((total / weight - 0.5) * 1.7 + 0.5, 0, 1)


def polygon(w, h, points):
    mask = Image.new("L", (w * 3, h * 3))
    ImageDraw.Draw(mask).polygon([(px * 3, py * 3) for px, py in points], 255)
    return array(mask.resize((w, h), Image.BOX))


def array(image):
    return np.asarray(image, dtype=float) / 255


def vignette(img, strength):
    x, y = grid(img.shape[1], img.shape[0])
    r = np.hypot(x / img.shape[1] - 0.5, y / img.shape[0] - 0.5)
    return img * (1 - strength * smooth(r, 0.32, 0.75))[..., None]


def save(img, name, **options):
    Image.fromarray(np.uint8(np.clip(img, 0, 1) * 255 + 0.5)).save(OUT / name, **options)


if __name__ == "__main__":
    scenes = {"logo": logo, "banner": banner, "photo": photo, "gallery": gallery}
    for name in sys.argv[1:] or scenes:
        scenes[name]()
        print("painted", name)
