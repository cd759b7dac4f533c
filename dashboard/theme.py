"""How loomwatch looks: the colours and shapes of the review states, and the theme that the server is started with.

A colour never stands alone: each state has its word, its symbol and its shape on a chart as well. The state colours
keep apart for the common kinds of colour blindness and stand out on the light and the dark background.
"""

from storage.reads.review_state import State

STATE_COLOURS: dict[State, str] = {"unreviewed": "#E69500", "confirmed": "#D92D3A", "rejected": "#8B929C"}
STATE_SHAPES: dict[State, str] = {"unreviewed": "circle", "confirmed": "diamond", "rejected": "cross"}
STATE_BADGES: dict[State, tuple[str, str]] = {  # streamlit's colour name, symbol
    "unreviewed": ("orange", ":material/help:"),
    "confirmed": ("red", ":material/error:"),
    "rejected": ("gray", ":material/block:"),
}
STATE_SIGNS: dict[State, str] = {state: symbol for state, (_, symbol) in STATE_BADGES.items()}
SEVERITY_COLOURS = {"critical": "#D92D3A", "major": "#E69500", "minor": "#2F7FB8"}
FORM_SHAPES = {
    "point": "circle",
    "area": "square",
    "warp_line": "triangle-right",
    "weft_line": "triangle-up",
    "diagonal": "triangle-down",
    "full_width": "diamond",
    "edge": "cross",
}
DRIFT_COLOURS = {"gathering": "#8B929C", "steady": "#2F7FB8", "watch": "#E69500", "drifted": "#D92D3A"}
DRIFT_SHAPES = {"gathering": "circle", "steady": "square", "watch": "diamond", "drifted": "triangle-up"}
SAMPLE_COLOURS = {
    "golden": "#2F7FB8",
    "review": "#E69500",
    "upload": "#B81010",
    "roll": "#58D0E8",
    "frame": "#7028E8",
    "past": "#A0B8A0",
    "part": "#D0B870",
    "reservoir": "#705858",
}
GAP_COLOUR = "#8B929C"
CHOSEN_COLOUR = "#1A869F"
SCORE_COLOUR = "#2F7FB8"
LIMIT_COLOUR = "#D92D3A"

STREAMLIT_THEME: dict[str, str] = {
    "theme.baseRadius": "0.5rem",
    "theme.metricValueFontSize": "1.6rem",
    "theme.metricValueFontWeight": "600",
    "theme.headingFontSizes": '["1.9rem", "1.4rem", "1.15rem", "1rem"]',
    "theme.paddingTop": "3.25rem",
    "theme.light.primaryColor": "#0F6E84",
    "theme.dark.primaryColor": "#14788F",
}

# What is being redrawn stays as it is until its new content is there, instead of fading every second; small print, what
# is chosen and a slider's value can be read by weak eyes, too (WCAG 2.2, 1.4.3); and the page leaves the width of a
# tablet to its content.
STYLE = """<style>
[data-testid='stSidebar'][style*='width: 300px'] {width: 13.5rem !important;}
[data-stale='true'] {opacity: 1 !important; transition: none !important;}
[data-testid='stCaptionContainer'] {opacity: 0.88;}
[data-testid='stMain'] [data-selected='true']:not([role='option']) p, [data-testid='stSliderThumbValue'] p
 {color: light-dark(#0F6E84, #7FD0E2);}
.stMainBlockContainer {padding-left: 2.2rem; padding-right: 2.2rem;}
</style>"""

LOGO = """<svg xmlns="http://www.w3.org/2000/svg" width="172" height="32" viewBox="0 0 172 32">
<g fill="none" stroke="#1B8AA3" stroke-width="3" stroke-linecap="round">
<path d="M4 9h7M17 9h11M4 16h17M27 16h1M4 23h7M17 23h11"/>
<path d="M8 4v2M8 13v6M8 26v2M16 4v9M16 19v9M24 4v2M24 13v0M24 20v-1M24 26v2"/>
</g>
<text x="38" y="23" font-family="'Source Sans', 'Source Sans Pro', sans-serif" font-size="22" font-weight="600"
 fill="#1B8AA3">loomwatch</text></svg>"""
