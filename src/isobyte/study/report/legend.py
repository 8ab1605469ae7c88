"""A figure on the page: its legend, its charts, its notes."""

from html import escape

from isobyte.study.report.chart import Figure, Key

SHAPES = {
    "circle": '<circle cx="11" cy="7" r="4.5"/>',
    "square": '<rect x="6.5" y="2.5" width="9" height="9"/>',
    "diamond": '<path d="M11 1l6 6-6 6-6-6z"/>',
    "triangle-up": '<path d="M11 2l5.5 10h-11z"/>',
    "triangle-down": '<path d="M11 12L5.5 2h11z"/>',
    "cross": '<path d="M9 2h4v3h3v4h-3v3H9V9H6V5h3z"/>',
    "star": '<path d="M11 1l1.8 4 4.2.4-3.2 2.9 1 4.2L11 10.300l-3.8 2.2 1-4.200L5 5.4 9.2 5z"/>',
    "hexagon": '<path d="M11 1.500l4.8 2.75v5.500L11 12.5 6.2 9.75v-5.500z"/>',
}


def figure_html(figure: Figure) -> str:
    """Boxes that the page's script fills with plots; without scripts the PNG of the same name shows."""
    if not figure.charts:
        return ""
    keys = "".join(f"<li>{_swatch(key)}{escape(key.label)}</li>" for key in figure.keys)
    boxes = []
    for k, chart in enumerate(figure.charts):
        colour = f' style="color:{chart.colour}"' if chart.colour else ""
        note = f'<p class="note">{escape(chart.note)}</p>' if chart.note else ""
        boxes.append(
            f'<div class="panel"><h3{colour}>{escape(chart.title)}</h3>'
            f'<div class="plot" id="{figure.name}-{k}" role="img" aria-label="{escape(chart.alt)}"></div>{note}</div>'
        )
    kind = "panels" if figure.columns > 1 and len(figure.charts) > 1 else "panels single"
    name = escape(figure.title)
    return (
        f'<figure><ul class="legend" aria-label="Legend">{keys}</ul><div class="{kind}">{"".join(boxes)}</div>'
        f'<noscript><img src="{figure.name}.png" alt="{name}"></noscript>'
        f'<figcaption><a href="{figure.name}.png">{name} as PNG</a></figcaption></figure>'
    )


def _swatch(key: Key) -> str:
    hollow = key.symbol is not None and key.symbol.endswith("-open")
    shape = SHAPES.get((key.symbol or "").removesuffix("-open"))
    if shape is None:
        dash = ' stroke-dasharray="5 3"' if key.dashed else ""
        shape = f'<path d="M1 7h20" stroke-width="2.5"{dash}/>'
        paint = f'stroke="{key.colour}" fill="none"'
    else:
        paint = f'stroke="{key.colour}" stroke-width="1.5" fill="{"none" if hollow else key.colour}"'
    return f'<svg width="22" height="14" viewBox="0 0 22 14" aria-hidden="true" {paint}>{shape}</svg>'
