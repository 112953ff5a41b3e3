"""The page of `osmem map` in a real browser: it opens, zooms, tells what lies under the pointer, has the right numbers, logs
no error, and stays fluid with a million blocks.

What it shows is compared with map_file.py, which reads the same file by itself.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import unittest

from browser import Browser, missing
from map_file import MapFile

TOOL, PROGRAM = (os.path.abspath(path) for path in sys.argv[1:3])
FOLDER = tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR"))

# A draw may take that long, for 20 pictures a second. The lower quartile is looked at: other work on the machine only adds.
MOST_MILLISECONDS = 50

# Keys without a character, in the protocol.
LEFT, RIGHT, UP, DOWN, PAGE_DOWN, END, HOME = "\ue012\ue014\ue013\ue015\ue00f\ue010\ue011"


def make_page(name, *program):
    """The page of a program at its end, and what its map says."""
    base = os.path.join(FOLDER, name)
    command = [TOOL, "map", "--html", base + ".html", "--save", base, "--", PROGRAM, *program, "exit"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if "ptrace: " in done.stderr:
        raise unittest.SkipTest("ptrace is not allowed here")
    if done.returncode != 3:
        raise RuntimeError(done.stderr)
    return base + ".html", MapFile(base + ".0.osmap")


class PageTest(unittest.TestCase):
    browser = None

    @classmethod
    def setUpClass(cls):
        cls.browser = Browser(1200, 800)

    @classmethod
    def tearDownClass(cls):
        cls.browser.__exit__()

    def open(self, path):
        self.browser.open(path)
        self.browser.frames()

    def tearDown(self):
        self.assertEqual(self.browser.console(), [])

    def page(self, name):
        return self.browser.run(f"return osmemMap.{name}")

    def point(self, address):
        return self.browser.run("return osmemMap.pointOf(arguments[0])", address)

    def is_visible(self, point):
        box = self.browser.run("return document.getElementById('map').getBoundingClientRect()")
        return box["top"] <= point["y"] < box["bottom"]

    @staticmethod
    def some_of_each_state(blocks):
        for state in ("used", "free", "metadata", "untouched", "mapped", "kept"):
            of_state = [block for block in blocks if block.state == state]
            yield from of_state[:: len(of_state) // 4 + 1] + of_state[-1:]

    def hover(self, block):
        """Moves the pointer to the middle of a block; None if that is not in view."""
        point = self.point(block.address + block.size // 2)
        if not self.is_visible(point):
            return None
        self.browser.move(point["x"], point["y"])
        return self.page("hovered")

    def expect_block(self, told, block):
        self.assertEqual(told, {"address": block.address, "size": block.size, "state": block.state})


class Small(PageTest):
    """A heap of three threads, some thousand blocks each."""

    @classmethod
    def setUpClass(cls):
        cls.path, cls.map = make_page("small", "3000", "2")
        super().setUpClass()

    def setUp(self):
        self.open(self.path)

    def test_opens_with_the_title_and_the_whole_heap(self):
        self.assertIn("heap_program 3000 2 exit", self.browser.run("return document.querySelector('h1').textContent"))
        for block in (self.map.blocks[0], self.map.blocks[-1]):
            self.assertTrue(self.is_visible(self.point(block.address)))

    def test_totals_are_those_of_an_independent_count(self):
        told = self.page("totals")
        for name, value in self.map.totals().items():
            self.assertEqual(told[name], value, name)
            shown = self.browser.run(f"return document.querySelector('#total-{name} td').textContent")
            self.assertEqual(shown, f"{value:,}", name)
        self.assertLessEqual(told["purged"], told["free"])

    def test_zooms_by_wheel_to_single_granules_and_back(self):
        block = next(block for block in self.map.blocks if block.state == "used" and 1000 < block.size < 2000)
        whole = self.page("rowBytes")
        for _ in range(40):
            point = self.point(block.address)
            self.assertTrue(self.is_visible(point))
            self.browser.wheel(point["x"], point["y"], -50)
            if self.page("rowBytes") == 1024:
                break
        self.assertEqual(self.page("rowBytes"), 1024)
        # Nine pixels or so a granule: each is told apart.
        first, second = (self.point(block.address + offset) for offset in (0, 16))
        self.assertTrue(second["x"] - first["x"] > 8 or second["y"] > first["y"])
        self.expect_block(self.hover(block), block)
        for _ in range(40):
            self.browser.wheel(700, 400, 50)
            if self.page("rowBytes") >= whole:
                break
        self.assertGreaterEqual(self.page("rowBytes"), whole)

    def test_tells_what_lies_under_the_pointer(self):
        seen = set()
        for keys in ("0", "0+++", "0" + 9 * "+"):
            self.browser.press("#map", keys)
            row_bytes = self.page("rowBytes")
            blocks = [block for block in self.map.blocks if block.size * 700 / row_bytes > 2]  # more than a pixel
            for block in self.some_of_each_state(blocks):
                told = self.hover(block)
                if told is not None:
                    self.expect_block(told, block)
                    seen.add(block.state)
                    text = self.browser.run("return document.getElementById('hover').textContent")
                    self.assertIn(f"0x{block.address:x}: {block.size:,} bytes", text)
        self.assertLessEqual({"used", "free", "metadata", "untouched", "mapped", "kept"}, seen)

    def test_colours_are_those_of_the_states(self):
        colour = """const place = osmemMap.pointOf(arguments[0]), map = document.getElementById('map');
            const box = map.getBoundingClientRect(), context = map.getContext('2d');
            const pixel = context.getImageData(place.x - box.left, place.y - box.top, 1, 1).data;
            const text = getComputedStyle(document.documentElement).getPropertyValue('--' + arguments[1]).trim();
            const hex = [...pixel.slice(0, 3)].map(part => part.toString(16).padStart(2, '0')).join('');
            return ['#' + hex, text];"""
        for scheme in ("light", "dark"):
            media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            self.browser.command("Emulation.setEmulatedMedia", media)
            self.browser.frames()
            for state in ("used", "free", "metadata", "untouched", "mapped", "kept"):
                block = max((block for block in self.map.blocks if block.state == state), key=lambda block: block.size)
                self.browser.press("#map", "0+++++")
                if not self.is_visible(self.point(block.address + 64)):
                    continue
                drawn, wanted = self.browser.run(colour, block.address + 64, state)
                if state == "free":
                    purged = self.browser.run(colour, block.address, "purged")[1]
                    self.assertIn(drawn, (wanted, purged))
                else:
                    self.assertEqual(drawn, wanted, f"{state}, {scheme}")

    def test_keys_choose_one_block_after_the_other(self):
        blocks = [block for block in self.map.blocks if block.state not in ("mapped", "kept")]
        for index in range(5):
            self.browser.press("#map", RIGHT)
            self.expect_block(self.page("chosen"), blocks[index])
        self.browser.press("#map", 30 * RIGHT + 5 * LEFT)
        self.expect_block(self.page("chosen"), blocks[29])
        status = self.browser.run("return document.getElementById('status').textContent")
        self.assertIn(f"0x{blocks[29].address:x}", status)
        self.browser.press("#map", "++++++++")
        self.assertTrue(self.is_visible(self.point(blocks[29].address)))

    def test_moves_by_drag_and_keys(self):
        self.browser.press("#map", "++++" + HOME)
        self.assertEqual(self.page("scroll"), 0)
        self.browser.drag(600, 500, 600, 300)
        self.assertEqual(self.page("scroll"), 200)
        self.browser.press("#map", DOWN + DOWN + UP + PAGE_DOWN)
        self.assertGreater(self.page("scroll"), 500)
        self.browser.press("#map", END)
        last = max(self.map.blocks, key=lambda block: (block.state in ("mapped", "kept"), block.address))
        self.assertTrue(self.is_visible(self.point(last.address + last.size - 1)))
        self.browser.press("#map", "0")
        self.assertEqual(self.page("scroll"), 0)

    def test_needs_nothing_but_itself(self):
        self.assertEqual(self.browser.run("return performance.getEntriesByType('resource').map(each => each.name)"), [])

    def test_has_names_for_who_cannot_see(self):
        unnamed = """return [...document.querySelectorAll('button, input, canvas:not([aria-hidden]), section')]
            .filter(each => !(each.getAttribute('aria-label') || each.textContent.trim() || each.closest('label')))
            .map(each => each.outerHTML);"""
        self.assertEqual(self.browser.run(unnamed), [])
        label = self.browser.run("return document.getElementById('map').getAttribute('aria-label')")
        self.assertIn(f"in use in {self.map.totals()['allocated_blocks']} blocks", label)


class Several(PageTest):
    """Two maps in one page, whose name needs care."""

    def test_has_a_slider_through_the_maps(self):
        folder = os.path.join(FOLDER, '<b>"&amp;')
        os.mkdir(folder)
        maps = []
        for index, blocks in enumerate(("100", "2000")):
            _, one = make_page(f"several{index}", blocks, "0")
            maps.append(one)
            os.rename(os.path.join(FOLDER, f"several{index}.0.osmap"), os.path.join(folder, f"{index}.osmap"))
        page = os.path.join(FOLDER, "several.html")
        sources = [word for index in range(2) for word in ("--from", os.path.join(folder, f"{index}.osmap"))]
        subprocess.run(
            [TOOL, "map", "--html", page, *sources], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.open(page)
        title = os.path.join(folder, "0.osmap")
        self.assertEqual(self.browser.run("return document.querySelector('h1').textContent"), title)
        for index in (0, 1):
            slide = """const slider = document.getElementById('slider');
                slider.value = arguments[0];
                slider.dispatchEvent(new Event('input'));"""
            self.browser.run(slide, index)
            self.assertEqual(self.page("totals")["allocated"], maps[index].totals()["allocated"])
            moment = self.browser.run("return document.getElementById('moment').textContent")
            self.assertIn(f"map {index + 1} of 2", moment)
        self.browser.press("#slider", LEFT)
        self.assertEqual(self.page("totals")["allocated"], maps[0].totals()["allocated"])


class Recording(PageTest):
    """A recording of which all call stacks were taken."""

    def test_tells_call_site_and_age_at_each_moment(self):
        base = os.path.join(FOLDER, "recorded")
        record = [TOOL, "record", "-q", "--stacks", "1", "-o", base, "--", PROGRAM, "500", "0", "exit"]
        self.assertEqual(subprocess.run(record, stdout=subprocess.DEVNULL, check=False).returncode, 3)
        subprocess.run(
            [TOOL, "map", "--at", "end", "--html", base + ".html", "--save", base, "--from", base],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.open(base + ".html")
        frames = int(self.browser.run("return document.getElementById('slider').max")) + 1
        self.assertGreater(frames, 10)
        self.browser.press("#slider", END)
        blocks = [block for block in MapFile(base + ".0.osmap").blocks if block.state == "used"]
        self.assertEqual(self.page("totals")["allocated_blocks"], len(blocks))
        self.browser.press("#map", "0")
        block = next(block for block in blocks if block.size == 4016)  # the program's table of 501 pointers
        self.browser.press("#map", RIGHT)
        while self.page("chosen")["address"] != block.address:
            self.browser.press("#map", 10 * RIGHT if self.page("chosen")["address"] < block.address else LEFT)
        self.browser.press("#map", "+++++++")
        self.expect_block(self.hover(block), block)
        told = self.browser.run("return document.getElementById('hover').textContent")
        self.assertRegex(told, r"allocated \d+\.\d{3} s before by .*main")
        self.assertIn("after the start of the recording", self.browser.run("return document.getElementById('moment').textContent"))


class Million(PageTest):
    """A heap of a million blocks."""

    def test_stays_fluid(self):
        path, million = make_page("million", "1600000", "0", "64")
        totals = million.totals()
        self.assertGreater(totals["allocated_blocks"] + totals["free_blocks"], 1000 * 1000)
        self.open(path)
        self.assertEqual(self.page("totals")["allocated_blocks"], totals["allocated_blocks"])
        self.assertEqual(self.page("totals")["free"], totals["free"])
        self.browser.run("osmemMap.drawTimes.length = 0")
        for delta in [-50] * 12 + [50] * 6:
            self.browser.wheel(600, 400, delta)
        self.browser.drag(600, 500, 600, 200)
        times = self.page("drawTimes")
        quartiles = statistics.quantiles(times)
        print(f"a million blocks: {len(times)} pictures, quartiles {[round(time, 1) for time in quartiles]} ms")
        self.assertLess(quartiles[0], MOST_MILLISECONDS)


class Demo(PageTest):
    """The page of `osmem trace-demo`."""

    def text(self, identity):
        return self.browser.run(f"return document.getElementById('{identity}').textContent")

    def test_goes_through_the_steps(self):
        script, page = os.path.join(FOLDER, "script"), os.path.join(FOLDER, "demo.html")
        with open(script, "w", encoding="utf-8") as file:
            file.write("say <b>Holes</b>\nmalloc a 96\nmalloc b 16\nfree a\nmalloc c 40\nrandom 50 200 1\n")
        subprocess.run([TOOL, "trace-demo", "--html", page, script], check=True, capture_output=True)
        self.open(page)
        self.assertEqual(self.text("line"), "malloc a 96")
        self.assertEqual(self.text("say"), "<b>Holes</b>")
        for _ in range(3):
            self.browser.run("document.getElementById('on').click()")
        self.assertEqual(self.text("line"), "malloc c 40")
        self.assertIn("it is cut off a free block of 96 bytes", self.text("explanation"))
        blocks = "return [...document.querySelectorAll('#after title')].map(each => each.textContent)"
        self.assertEqual(
            self.browser.run(blocks),
            ["48 bytes at 0, in use: c", "48 bytes at 48, free", "16 bytes at 96, in use: b"],
        )
        self.assertEqual(self.browser.run("return document.querySelectorAll('#policies svg').length"), 5)
        lines = "return [...document.querySelectorAll('#chart polyline')].map(each => each.points.length)"
        self.assertEqual(self.browser.run(lines), [54] * 5)
        self.browser.run("document.getElementById('back').click()")
        self.assertEqual(self.text("line"), "free a")


if __name__ == "__main__":
    if missing():
        print("SKIPPED: not installed:", *missing(), "(Debian's packages chromium and chromium-driver)")
        sys.exit(0)
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
