"""A bar chart as SVG. It has its own background, so it is readable on a page of any colour."""

from html import escape

WIDTH, LABELS, VALUES = 760, 250, 60  # in pixels; the bars are between the names and the space for the last value
BAR, ROW, TOP, BOTTOM = 20, 32, 58, 18

STYLE = """
    text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1f2328 }
    .title { font-size: 15px; font-weight: 600 }
    .back { fill: #ffffff }
    .bar { fill: #9aa4b0 }
    .own { fill: #d9622b }
    .floor { stroke: #1f2328; stroke-width: 1.5; stroke-dasharray: 4 3 }
    .bold { font-weight: 600 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .back { fill: #0d1117 }
      .bar { fill: #57616d }
      .own { fill: #e8793f }
      .floor { stroke: #e6edf3 }
    }
"""


def bars(values, title="CPU seconds, relative to decompression alone", own="logmill", line=1.0):
    """A bar for each name and value, and a vertical line across all bars."""
    most = max(line, *(value for _, value in values))
    scale = (WIDTH - LABELS - VALUES) / most
    height = TOP + ROW * len(values) + BOTTOM
    across = LABELS + line * scale
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="back" width="{WIDTH}" height="{height}" rx="6"/>',
        f'<text class="title" x="16" y="26">{escape(title)}</text>',
    ]
    for row, (name, value) in enumerate(values):
        top = TOP + ROW * row
        middle = top + BAR * 0.72
        bold = ' class="bold"' if name == own else ""
        parts += [
            f'<text{bold} x="{LABELS - 10}" y="{middle:.1f}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{"own" if name == own else "bar"}" x="{LABELS}" y="{top}" width="{value * scale:.1f}" height="{BAR}" rx="2"/>',
            f'<text{bold} x="{LABELS + max(value, line) * scale + 8:.1f}" y="{middle:.1f}">{value:.2f}</text>',
        ]
    parts += [
        f'<line class="floor" x1="{across:.1f}" x2="{across:.1f}" y1="{TOP - 8}" y2="{height - BOTTOM + 4}"/>',
        f'<text x="{across:.1f}" y="{TOP - 13}" text-anchor="middle">{line:.1f}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
