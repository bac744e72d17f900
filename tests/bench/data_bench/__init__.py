"""What reading data costs, measured on a CPU: `make bench-data`, or `python -m data_bench --sections order`.

A section is a module here, named in `SECTIONS`, with a function `section(folder) -> str`: it may write into `folder`,
which is its own and lasts, and returns Markdown, a sentence or two and a table, for docs/performance.md.
"""

SECTIONS = {
    "decoding": "Decoding",
    "loaders": "Loaders side by side",
    "defects": "Defects",
    "index": "The index",
    "filters": "Filters",
    "order": "Order",
    "latents": "Cached latents",
}
"""Names of modules, and the headings of what they measured, in the order of the page."""
