"""What people typed is never HTML: no page asks Streamlit to take it as such."""

import ast
from pathlib import Path

import dashboard

FOLDER = Path(dashboard.__file__).parent


def test_html_is_written_by_us_alone() -> None:
    """`unsafe_allow_html` nowhere; `st.html` with a constant of ours, never with a text put together."""
    seen = 0
    for path in sorted(FOLDER.rglob("*.py")):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            assert all(keyword.arg != "unsafe_allow_html" for keyword in call.keywords), path
            if ast.unparse(call.func) == "st.html":
                seen += 1
                assert isinstance(call.args[0], ast.Name), f"{path}: {ast.unparse(call)}"
                assert call.args[0].id.isupper(), f"{path}: {ast.unparse(call)}"
    assert seen >= 3


def test_the_wall_screen_writes_text() -> None:
    written = (FOLDER / "wall_screen" / "wall.js").read_text()
    assert "textContent" in written
    for name in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "createContextualFragment", "eval("):
        assert name not in written


def test_the_sign_in_page_escapes_what_was_typed() -> None:
    from dashboard.door import _page

    body = bytes(_page("sign-in", {"name": '"><script>alert(1)</script>', "next": "/"}, problem="<b>").body).decode()
    assert "<script>alert" not in body
    assert "<b>" not in body
    assert "&lt;script&gt;" in body


def test_the_way_back_stays_on_this_dashboard() -> None:
    from dashboard.door import _local

    assert _local("/defects?state=all&roll=3") == "/defects?state=all&roll=3"
    for elsewhere in ("", "https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb"):
        assert _local(elsewhere) == "/"
