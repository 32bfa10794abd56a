"""How the page of a smoke test looks: one sheet for light and dark, wide and narrow."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --dim: #60676e; --paper: #ffffff; --card: #f5f6f8; --line: #d9dde2;
  --pass: #1a7f46; --warn: #9a6700; --fail: #c0322b; --skip: #57606a; --bar: #3b6fb5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7ea; --dim: #9aa3ab; --paper: #14171a; --card: #1d2125;
  --line: #343a40; --pass: #4cc381; --warn: #e0b040; --fail: #ff7b72; --skip: #9aa3ab; --bar: #6ea3ea; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 3rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0; }
h2 { font-size: 1.2rem; margin: 0; overflow-wrap: anywhere; }
h3 { font-size: .8rem; letter-spacing: .05em; text-transform: uppercase; color: var(--dim); margin: 1.5rem 0 .4rem; }
p { margin: .3rem 0; overflow-wrap: anywhere; }
.dim { color: var(--dim); }
article { border: 1px solid var(--line); border-top: 4px solid var(--skip); border-radius: 6px; padding: 1rem 1.2rem;
  margin-top: 1.5rem; }
article.pass { border-top-color: var(--pass); } article.warn { border-top-color: var(--warn); }
article.fail { border-top-color: var(--fail); }
.word { font-weight: 700; margin-right: .5rem; }
.pass .word.of, .word.pass { color: var(--pass); } .warn .word.of, .word.warn { color: var(--warn); }
.fail .word.of, .word.fail { color: var(--fail); } .word.skip, .word.note { color: var(--skip); }
.finding { background: var(--card); border-left: 4px solid var(--skip); border-radius: 4px; padding: .6rem .8rem;
  margin: .6rem 0; }
.finding.fail { border-left-color: var(--fail); } .finding.warn { border-left-color: var(--warn); }
pre, code { font: .86rem/1.45 ui-monospace, monospace; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--card); border-radius: 4px; padding: .6rem .8rem;
  margin: .3rem 0; }
pre.thinking { color: var(--dim); font-style: italic; }
details summary { cursor: pointer; color: var(--dim); }
dl { display: grid; grid-template-columns: 9rem 1fr; gap: .15rem 1rem; margin: .3rem 0; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
svg { display: block; width: 100%; border-radius: 3px; }
.bars { grid-template-columns: 13rem 1fr 5.5rem; align-items: center; }
.bars dd:nth-of-type(even) { text-align: right; font-variant-numeric: tabular-nums; }
.bar { fill: var(--bar); }
.back { fill: var(--line); fill-opacity: .45; }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; list-style: none; padding: 0; margin: .4rem 0 0;
  font-size: .9rem; }
@media (max-width: 34rem) { body { padding: 1rem .6rem 2rem; } article { padding: .8rem; }
  dl { grid-template-columns: 5.5rem 1fr; gap: .15rem .6rem; font-size: .93rem; }
  .bars { grid-template-columns: 8rem 1fr 4.5rem; } }
@media print { body { max-width: none; padding: 0; } }
"""
