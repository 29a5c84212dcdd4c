"""The page's views of gradient, values, fusion, memory, profile and code, in a real browser."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from tests.inspect.browser import opened, running  # noqa: F401  a fixture
from tests.inspect.page_model import HOSTILE, HOSTILE_FILE, large, small

VIEWS = ("gradient", "values", "fusion", "memory", "profile", "code")
NOT_FINITE = [255, 45, 85, 255]
LOWEST, HIGHEST = [68, 1, 84, 255], [253, 231, 37, 255]  # of viridis


def shown(page: Any, name: str) -> Any:
    """The view of that name, gone to by its tab."""
    page.locator(f"#tab-{name}").click()
    return page.locator(f"#panel-{name} .v-view")


def names(rows: Any) -> list[str]:
    """The nodes that name the rows of a table."""
    return [row.locator("th .v-node").inner_text() for row in rows.all()]


def rows(view: Any, caption: str) -> Any:
    return view.locator("table", has=view.page.locator("caption", has_text=caption)).locator("tbody tr")


def becomes(locator: Any, count: int) -> Any:
    """The elements, once there are so many of them."""
    pytest.importorskip("playwright.sync_api").expect(locator).to_have_count(count)
    return locator


def violations(page: Any, name: str, *rules: str) -> list[str]:
    """What axe-core finds wrong with a view, by some rules or all; what is around it has tests of its own."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    found = (
        axe.Axe()
        .run(page, f"#panel-{name}", {"runOnly": list(rules)} if rules else None)
        .response["violations"]
    )
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}" for each in found for node in each["nodes"]
    ]


def pair(view: Any, node: int) -> Any:
    return view.locator(f'tr[data-pair="{node}"]')


# Gradient.


def test_each_forward_node_stands_beside_its_adjoint(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, small(), "#gradient") as page:
        view = shown(page, "gradient")
        adjoints = {
            row.locator("th .v-node").inner_text(): row.locator("td").last.inner_text()
            for row in rows(view, "with their adjoints").all()
        }
        assert adjoints["%1 variable w"] == "%13 matmul"
        assert adjoints["%2 matmul"] == "%11 where"
        assert adjoints["%3 relu"].split("\n")[0].startswith("%9 multiply")
        assert adjoints["%4 2.0"] == "no gradient"
        assert "7 forward nodes, 5 with an adjoint" in view.inner_text()


def test_pointing_at_a_pair_tells_its_rule_and_lights_the_saved_values(
    browser: Any,
    tmp_path: Path,
) -> None:
    with opened(browser, tmp_path, small(), "#gradient") as page:
        view = shown(page, "gradient")
        panel = view.locator(".v-panel")
        pair(view, 1).hover()
        told = " ".join(panel.inner_text().split())
        assert "vjp matmul of operand 1 of %2 matmul gives %13 matmul needs the saved %0 placeholder" in told
        assert "saved" in pair(view, 0).get_attribute("class")
        assert view.locator("tr.saved").count() == 1
        assert view.locator(".v-arcs .arc.saved").count() == 1
        pair(view, 2).locator("th .v-node").focus()
        assert "vjp relu of operand 0 of %3 relu gives %11 where" in " ".join(panel.inner_text().split())
        assert view.locator("tr.current").get_attribute("data-pair") == "2"


def test_no_gradient_and_zero_are_told_with_their_paths(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, small(), "#gradient") as page:
        view = shown(page, "gradient")
        pair(view, 0).locator("th .v-node").focus()
        panel = view.locator(".v-panel")
        assert "x is not among the variables" in panel.inner_text()
        path = panel.get_by_role("list", name="The way to where the derivative stops").get_by_role("button")
        assert [each.split()[0] for each in path.all_inner_texts()] == ["%0", "%2", "%3", "%5", "%6"]
        path.nth(2).click()
        assert "relu" in page.locator(".details h2").inner_text()
        assert "All of relu's inputs are negative." in panel.inner_text()
        zero = panel.get_by_role("list", name="The way to the node whose rule gave zero")
        assert zero.get_by_role("button").all_inner_texts() == ["%3 relu", "%5 power"]


def test_pairs_are_filtered(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, small(), "#gradient") as page:
        view = shown(page, "gradient")
        table = rows(view, "with their adjoints")
        view.get_by_label("Show").select_option("without")
        assert [name.split()[0] for name in names(table)] == ["%0", "%4"]
        view.get_by_label("Show").select_option("zero")
        assert names(table) == ["%3 relu"]
        view.get_by_label("Show").select_option("all")
        view.get_by_label("Scope", exact=True).select_option("loss")
        assert names(table) == ["%4 2.0", "%5 power", "%6 mean"]
        view.get_by_label("Scope", exact=True).select_option("")
        view.get_by_label("Filter by name").fill("a = relu")  # the text of a line
        assert names(becomes(table, 1)) == ["%3 relu"]
        assert "1 node of 7" in view.inner_text()


# Values.


def with_picture() -> dict[str, Any]:
    """The small model with a picture of 2 by 2: lowest, highest, not finite, lowest."""
    model = small()
    node = model["values"]["graphs"][1]["nodes"][2]
    node["picture"] = {
        "width": 2,
        "height": 2,
        "low": "-1.5",
        "high": "2.25",
        "pixels": base64.b64encode(bytes([0, 254, 255, 0])).decode(),
        "note": "the first 2 of 8 rows",
    }
    return model


def test_the_first_value_that_is_not_finite_is_named(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, small(), "#values") as page:
        view = shown(page, "values")
        banner = view.get_by_role("group", name="The first value that is not finite")
        told = " ".join(banner.inner_text().split())
        assert "not finite is %9 multiply: f32[8,3], from -10.5 to 11.25, mean 1.125; 1 NaN." in told
        assert "return mean(power(a, 2.0))" in told
        assert "%8 broadcast_to f32[4,3]" in told
        assert "%3 relu f32[8,3]" in told
        assert "first not finite" in view.locator("tr.bad").inner_text()
        banner.get_by_role("button", name="%9 multiply").click()
        assert "multiply" in page.locator(".details h2").inner_text()
        view.get_by_label("Graph", exact=True).select_option("0")
        assert "Every value is finite" in view.inner_text()


def test_values_are_sorted_and_filtered(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, small(), "#values") as page:
        view = shown(page, "values")
        table = rows(view, "Values of the nodes")
        assert table.count() == 17
        view.get_by_role("button", name="Max").focus()
        page.keyboard.press("Enter")
        assert view.locator("th", has_text="Max").get_attribute("aria-sort") == "descending"
        assert names(table)[:2] == ["%16 subtract", "%15 multiply"]
        page.keyboard.press("Enter")
        assert names(table)[0].startswith("%0 placeholder")
        view.get_by_role("button", name="Not finite (1)").click()
        assert names(table) == ["%9 multiply"]
        view.get_by_role("button", name="All zero").click()
        zeros = [
            i
            for i, each in enumerate(small()["values"]["graphs"][1]["nodes"])
            if each["zeros"] == each["count"] > 0
        ]
        assert [int(name.split()[0][1:]) for name in names(table)] == zeros
        view.get_by_role("button", name="All (17)").click()
        view.get_by_label("Search by name").fill("transpose")
        assert names(becomes(table, 1)) == ["%12 transpose"]


def test_a_value_has_a_histogram_a_picture_and_a_sample(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, with_picture(), "#values") as page:
        view = shown(page, "values")
        view.get_by_role("button", name="%2 matmul").first.click()
        panel = view.locator(".v-panel")
        assert "Histogram of 4 bins from -3.5 to 0.5" in panel.locator(".v-histogram").get_attribute(
            "aria-label"
        )
        panel.get_by_text("The histogram as a table").click()
        assert panel.locator("details tbody tr").all_inner_texts() == [
            "-3.5 to -2.5\t2",
            "-2.5 to -1.5\t3",
            "-1.5 to -0.5\t24",
            "-0.5 to 0.5\t1",
        ]
        canvas = panel.get_by_role("img", name="Picture of %2 matmul: 2 by 2, from -1.5 to 2.25")
        pixels = canvas.evaluate("it => Array.from(it.getContext('2d').getImageData(0, 0, 2, 2).data)")
        assert np.reshape(pixels, (4, 4)).tolist() == [LOWEST, HIGHEST, NOT_FINITE, LOWEST]
        assert "the first 2 of 8 rows" in panel.inner_text()
        assert "not finite" in panel.locator(".v-legend").inner_text()
        assert "0.0 0.1 0.2" in " ".join(panel.locator(".v-sample").inner_text().split())


# Fusion.


def test_kernels_have_their_members_and_reasons(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, small(), "#fusion") as page:
        view = shown(page, "fusion")
        table = rows(view, "Kernels")
        assert names(table)[:2] == ["%4 kernel of 4", "%3 kernel of 3"]  # by size
        assert view.locator(".v-graph .v-box").count() == 16
        view.get_by_role("button", name="%3 kernel of 3").first.click()
        told = view.locator(".v-panel").inner_text()
        assert "elementwise neighbours of one shape share one loop" in told
        assert "a = relu(y)" in told
        assert view.locator('.v-panel [data-node^="2:"]').all_inner_texts() == [
            "%3 relu",
            "%4 multiply",
            "%5 mean",
        ]
        apart = rows(view, "Neighbours that do not share a kernel")
        assert apart.count() == 3
        assert "A product of matrices takes whole arrays." in apart.nth(1).inner_text()
        view.get_by_label("Reason").select_option(index=2)
        assert apart.count() == 1
        view.get_by_label("Filter by member").fill("subtract")
        assert names(becomes(table, 1)) == ["%6 kernel of 2"]


def test_any_two_nodes_can_be_asked_about(browser: Any, tmp_path: Path) -> None:
    asked = [
        ("%3", "%5", "share the kernel %3: kernel of 3: elementwise neighbours of one shape share one loop."),
        ("12", "%10 where", "do not share a kernel: A product of matrices takes whole arrays."),
        ("relu", "%15", "they are no neighbours, as neither reads the other's result"),
        ("%2", "placeholder", "one of them is an input or a constant"),
        ("%7", "%7", "are the same node"),
        ("%99", "%7", "“%99” names no node of the graph before fusion: write an id from %0 to %15"),
    ]
    with opened(browser, tmp_path, small(), "#fusion") as page:
        view = shown(page, "fusion")
        for one, other, answer in asked:
            view.get_by_label("One node of the graph before fusion").fill(one)
            view.get_by_label("Another node of the graph before fusion").fill(other)
            page.keyboard.press("Enter")
            assert answer in view.locator(".v-answer").inner_text()
        view.get_by_role("button", name="%3 kernel of 3").first.click()
        view.locator(".v-panel .v-node", has_text="%4 multiply").click()
        view.get_by_role("button", name="Take the selected node as the second").click()
        assert view.get_by_label("Another node of the graph before fusion").input_value() == "%4 multiply"


# Memory.


def test_the_plan_shows_buffers_reuse_and_the_peak(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, small(), "#memory") as page:
        view = shown(page, "memory")
        facts = " ".join(view.locator(".v-across").inner_text().split())
        assert "Arena 192 B" in facts and "Peak at step 2 of 5" in facts and "24*batch" in facts
        assert "y = x @ w" in view.locator(".v-note").inner_text()
        chart = view.get_by_role("img", name="Memory plan: 4 buffers in an arena of 192 B over 5 steps")
        assert chart.locator("g.buffer").count() == 4
        assert chart.locator("g.buffer.place").count() == 1
        assert "peak: 192 B at step 2" in chart.text_content()
        live = view.get_by_role("img", name="Bytes in use at each step: at most 192 B, at step 2")
        assert live.count() == 1
        chart.locator("g.buffer").nth(1).click()
        assert "kernel of 4" in page.locator(".details h2").inner_text()
        assert "12*batch" in view.locator(".v-panel").inner_text()
        view.get_by_role("button", name="In place (1)").click()
        table = rows(view, "Buffers of the plan")
        assert table.count() == 1
        assert "in place of" in table.inner_text()
        table.locator("th .v-node").click()
        assert "Written in place of %2 matmul." in " ".join(view.locator(".v-panel").inner_text().split())


# Profile.


def test_the_profile_has_bars_and_a_roofline(browser: Any, tmp_path: Path) -> None:
    model = small()
    model["profile"]["ceilings"] = {"flops": [["float32", 102e9]], "bytes": 11.3e9}
    with opened(browser, tmp_path, model, "#profile") as page:
        view = shown(page, "profile")
        table = rows(view, "Kernels by time")
        assert names(table)[0] == "%4 kernel of 4"  # the slowest
        assert "6.00 µs" in table.first.inner_text() and "24.0 %" in table.first.inner_text()
        assert table.first.get_by_role("img", name="5.40 µs to 7.80 µs").count() == 1
        roofline = view.get_by_role("img", name="Roofline: 5 kernels")
        assert roofline.locator("g.v-dot").count() == 5
        assert "102 GFLOP/s float32" in roofline.text_content() and "11.3 GB/s" in roofline.text_content()
        roofline.locator("g.v-dot").last.click()
        assert "kernel of 4" in page.locator(".details h2").inner_text()
        view.get_by_role("button", name="Flops").click()
        assert names(table)[0] == "%2 matmul"


def test_the_trace_is_saved(browser: Any, tmp_path: Path) -> None:
    model = small()
    with opened(browser, tmp_path, model, "#profile", accept_downloads=True) as page:
        view = shown(page, "profile")
        with page.expect_download() as download:
            view.get_by_role("button", name="Save the Chrome trace").click()
        assert download.value.suggested_filename == "models._img_src_x_onerror_alert_1_.trace.json"
        saved = Path(download.value.path()).read_text()
        assert json.loads(saved)["traceEvents"] == json.loads(model["profile"]["trace"])["traceEvents"]


def test_a_failed_run_is_shown_with_its_error(browser: Any, tmp_path: Path) -> None:
    model = small()
    model["profile"] |= {"failed": f"FeedError: {HOSTILE}", "kernels": []}
    with opened(browser, tmp_path, model, "#profile") as page:
        told = shown(page, "profile").inner_text()
        assert "The run ended with an error." in told
        assert f"FeedError: {HOSTILE}" in told
        assert "No kernel was timed." in told


# Code.


def test_a_line_leads_to_its_kernel_nodes_and_lines(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, small(), "#code") as page:
        view = shown(page, "code")
        view.get_by_role("button", name="LLVM IR").click()
        listing = view.get_by_role("listbox", name="LLVM IR, 6 lines")
        listing.get_by_role("option").nth(1).click()
        told = " ".join(view.locator(".v-panel").inner_text().split())
        assert "@kernel3 Line 2 of 1 to 3 Kernel %3 kernel of 3" in told
        assert "%3 relu %4 multiply %5 mean" in told and "a = relu(y)" in told
        assert listing.locator(".lit").count() == 3
        assert "kernel of 3" in page.locator(".details h2").inner_text()
        listing.focus()
        for _ in range(2):
            page.keyboard.press("ArrowDown")
        current = listing.get_attribute("aria-activedescendant")
        assert page.locator(f"#{current}").get_attribute("aria-posinset") == "4"
        assert "@kernel4" in view.locator(".v-panel").inner_text()
        page.keyboard.press("Enter")
        assert "kernel of 4" in page.locator(".details h2").inner_text()


def test_a_kernel_and_a_line_of_the_user_lead_to_code(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, small(), "#fusion") as page:
        view = shown(page, "fusion")
        view.get_by_role("button", name="%3 kernel of 3").first.click()
        view.get_by_role("button", name="Its generated code").click()
        code = page.locator("#panel-code .v-view")
        assert code.is_visible()
        assert code.locator(".v-code-line.lit").all_inner_texts()[0].startswith("4")
        yours = rows(code, "Your lines").filter(has_text="y = x @ w")
        yours.get_by_role("button", name="v2").click()
        assert "matmul" in page.locator(".details h2").inner_text()
        assert code.locator(".v-code-line.current").inner_text().startswith("3")


def test_code_of_100000_lines_is_searched_and_scrolled(browser: Any, tmp_path: Path) -> None:
    model = small()
    text = "\n".join(f"  %{i} = fadd float %x, {i}.0" for i in range(100_000))
    section = {"first": 99_990, "last": 100_000, "name": "@last", "nodes": [6]}
    model["code"] = {"listings": [{"language": "LLVM IR", "text": text, "sections": [section]}]}
    with opened(browser, tmp_path, model, "#code") as page:
        view = shown(page, "code")
        lines = view.locator(".v-code-line")
        assert 10 < lines.count() < 200
        view.get_by_role("button", name="@last").first.click()
        assert "%99999 = fadd" in view.locator(".v-code").inner_text()
        assert lines.count() < 200
        view.get_by_label("Search the text").fill("%777")
        assert "of 111 lines" in view.inner_text()  # 777, 7770 and on, 77700 and on
        page.keyboard.press("Enter")
        assert view.locator("mark").count() > 0
        assert lines.count() < 200


# All of them.


def test_what_is_selected_elsewhere_is_lit_when_a_view_comes_into_sight(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, small(), "#memory") as page:
        for name in ("memory", "profile", "code", "fusion"):
            shown(page, name)
        page.locator("#panel-fusion tbody").get_by_role("button", name="%4 kernel of 4").click()
        lit = shown(page, "memory").locator("tr.current")
        assert names(becomes(lit, 1)) == ["%4 kernel of 4"]
        assert "12*batch" in page.locator("#panel-memory .v-panel").inner_text()
        assert shown(page, "memory").locator("g.buffer.lit").count() == 1
        assert names(becomes(shown(page, "profile").locator("tr.current"), 1)) == ["%4 kernel of 4"]
        assert shown(page, "profile").locator("g.v-dot.lit").count() == 1
        code = shown(page, "code")
        code.get_by_role("button", name="LLVM IR").click()
        assert becomes(code.locator(".v-code-line.lit"), 3).first.inner_text().startswith("4")


def test_what_a_page_lacks_is_told(browser: Any, tmp_path: Path) -> None:
    model = large(20, 0)
    model["about"] |= {"free": ["batch"], "sizes": []}
    with opened(browser, tmp_path, model, "#code") as page:
        told = {name: shown(page, name).inner_text() for name in VIEWS}
    assert "nothing here is differentiated" in told["gradient"]
    assert "--feed" in told["values"]
    assert "each node is a kernel of its own" in told["fusion"]
    assert "--size batch=" in told["memory"]
    assert "--steps" in told["profile"]
    assert "--size batch=" in told["code"]


def test_names_stay_text(browser: Any, tmp_path: Path) -> None:
    model = small()
    model["gradient"]["pairs"][0]["reason"] = HOSTILE
    model["fusion"]["kernels"][1] |= {"why": HOSTILE, "numerics": HOSTILE, "name": HOSTILE}
    model["profile"]["kernels"][0] |= {"name": HOSTILE, "bound": HOSTILE}
    model["code"]["listings"][0]["sections"][0]["name"] = HOSTILE
    model["values"]["feed"] = HOSTILE
    with opened(browser, tmp_path, model, "#code") as page:
        for name in VIEWS:
            view = shown(page, name)
            assert HOSTILE in view.inner_text(), name
            for button in view.locator("tbody .v-node").all()[:4]:
                button.click()
        assert HOSTILE_FILE in shown(page, "fusion").locator(".v-panel").inner_text()
        assert page.locator("img, b").count() == 0


def test_views_are_accessible(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, with_picture(), "#gradient", color_scheme="light") as page:
        found = {}
        for name in VIEWS:
            page.emulate_media(color_scheme="light")
            view = shown(page, name)
            if name != "code":
                view.locator("tbody tr").nth(2).locator(".v-node").first.click()
            else:
                view.get_by_label("Search the text").fill("v3")
                view.locator(".v-code-line").nth(2).click()
            found[name] = violations(page, name)
            page.emulate_media(color_scheme="dark")
            found[f"{name}, dark"] = violations(page, name, "color-contrast")
        assert {name: said for name, said in found.items() if said} == {}
        assert len(found) == 12


def many(nodes: int) -> dict[str, Any]:
    """A model of `nodes` nodes with a pair, a value, a kernel, a buffer and a time for each."""
    model, like = large(nodes, 0), small()
    statistics = like["values"]["graphs"][0]["nodes"][2]
    pairs = [{**like["gradient"]["pairs"][3], "node": i, "adjoint": nodes - 1 - i} for i in range(nodes // 2)]
    kernel = like["fusion"]["kernels"][1]
    buffer = like["memory"]["buffers"][0]
    time = like["profile"]["kernels"][0]
    return {
        **model,
        "gradient": {**like["gradient"], "graph": 0, "pairs": pairs},
        "values": {
            "feed": "a feed",
            "graphs": [{"graph": 0, "nodes": [statistics] * nodes, "first": None}],
        },
        "fusion": {
            **model["fusion"],
            "kernels": [{**kernel, "node": i, "members": [i]} for i in range(nodes)],
            "declined": [{"producer": i, "consumer": i + 1, "reason": "no"} for i in range(nodes - 1)],
        },
        "memory": {
            **like["memory"],
            "steps": nodes,
            "buffers": [{**buffer, "node": i, "birth": i, "death": i + 1} for i in range(nodes)],
        },
        "profile": {**like["profile"], "kernels": [{**time, "node": i} for i in range(nodes)]},
    }


def test_of_many_nodes_a_page_of_rows_is_in_the_document(
    browser: Any,
    tmp_path: Path,
) -> None:
    model = many(5000)
    model["gradient"]["pairs"][0]["path"] = list(range(2500))
    with opened(browser, tmp_path, model, "#profile") as page:
        pair(shown(page, "gradient"), 0).hover()
        assert "2,460 nodes between" in page.locator("#panel-gradient .v-panel").inner_text()
        for name in ("gradient", "values", "fusion", "memory", "profile"):
            view = shown(page, name)
            assert view.locator("*").count() < 8000, name
            table = view.locator(".v-tabled").first
            assert 20 < table.locator("tbody tr").count() <= 50, name
            first = table.locator("tbody tr").first.inner_text()
            table.get_by_role("button", name="Next").click()
            assert table.locator("tbody tr").first.inner_text() != first
            table.get_by_role("button", name="Last").click()
            assert table.get_by_role("button", name="Next").is_disabled()


def test_a_real_run_has_all_views(browser: Any, tmp_path: Path) -> None:
    x, y = sg.placeholder("x", ("batch", 4)), sg.placeholder("y", ("batch", 3))
    w = sg.variable("w", (4, 3), init=sg.init.glorot_uniform())
    loss = sg.mean(sg.square(sg.relu(x @ w) - y))
    graph = sg.define(loss=loss)
    feeds = {"x": np.ones((8, 4), np.float32), "y": np.zeros((8, 3), np.float32)}
    page_of = sg.explore(graph, feeds=feeds, profile_steps=3)
    with opened(browser, tmp_path, page_of.html, "#values") as page:
        assert rows(shown(page, "gradient"), "with their adjoints").count() > 5
        assert rows(shown(page, "values"), "Values of the nodes").count() > 5
        assert rows(shown(page, "fusion"), "Kernels").count() > 0
        assert rows(shown(page, "memory"), "Buffers of the plan").count() > 0
        assert rows(shown(page, "profile"), "Kernels by time").count() > 0
        code = shown(page, "code")
        assert code.locator(".v-code-line").count() > 5
        assert rows(code, "Your lines").filter(has_text="x @ w").count() > 0
