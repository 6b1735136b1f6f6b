"""What visitors may type to break a page. `look.js` finds an attribute `data-injected`, an element `injected`, or a link to
`hostile.example` that was made of such a text."""

RUNS = "document.documentElement.setAttribute('data-injected','')"
LONG = 8192

# None has a line end, because it would end a log line.
VALUES = {
    "a script": f"<script>{RUNS}</script>",
    "the end of a script": f"</script><script>{RUNS}</script>",
    "the end of all": f"--></title></style></textarea></noscript></template></svg>]]><b data-injected>",
    "a picture": f'"><img src=x data-injected onerror="{RUNS}">',
    "a picture after an apostrophe": f"'><img src=x data-injected onerror={RUNS.replace(' ', '')}>",
    "a picture in SVG": f"<svg><text data-injected><a href=https://hostile.example/>x</a></text></svg>",
    "an attribute": '" data-injected="" autofocus onfocus="',
    "an attribute after an apostrophe": "' data-injected='' x='",
    "the end of a string": f"\\'-{RUNS}-\\'\";{RUNS};//",
    "a template": f"${{{RUNS}}} {{{{constructor.constructor(\"{RUNS}\")()}}}} <%= 7 * 7 %>",
    "a script's URL": f"javascript:{RUNS}",
    "a link": "https://hostile.example/a?b=c&d=e#f",
    "a style": "red;background:url(https://hostile.example/x)}*{background:url(https://hostile.example/y)}",
    "a markdown link": "[click](https://hostile.example/) `x` **y**",
    "entities": "&lt;b data-injected&gt; &amp; &quot; &#x3c;injected&#x3e; &nbsp;",
    "escapes": "\\u003cb data-injected\\u003e \\x3cb\\x3e \\\\ \\' \\\" \\0 %3Cb%20data-injected%3E",
    "a key of an object": "__proto__",
    "a name of a function": "constructor",
    "a word": "null",
    "the empty text": "",
    "spaces": "  two  at the ends  ",
    "turned around": "\u202egnp.gpj\u202d and \u2066isolated",
    "from the right": "שלום עולם مرحبا بالعالم",
    "other letters": "日本語 한국어 ελληνικά русский ไทย",
    "emoji": "😀 👩\u200d👩\u200d👧\u200d👦 🏳️\u200d🌈 🇩🇪",
    "many marks": "Z" + "\u0301\u0327\u0489" * 60,
    "separators": "a\u2028b\u2029c\u0085d\u000be\u000cf",
    "controls": "a" + "".join(map(chr, range(1, 10))) + "\x1b[31mred\x7f",
    "NUL": "a\0b",
    "not characters": "\ufffe\uffff\ufeff\U0010ffff\ue000",
    "a long word": "k" * LONG,
    "long markup": "<b data-injected>" * (LONG // 17),
    "long and wide": "漢字" * (LONG // 6),
}
# Of a file system, a name has at most 255 bytes and no slash.
FILE_NAMES = [
    f"{number:02}_{value}" for number, value in enumerate(VALUES.values()) if "/" not in value and "\0" not in value and len(value.encode()) < 200
]
