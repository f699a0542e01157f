"""Style of a page: light or dark like the reader's system, for phone, desktop and print."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --page: #f4f4f2; --card: #fff; --text: #1c1c1c; --faint: #5c5c5c;
  --line: #d5d5d0; --soft: #efefec; --accent: #2f57c0; --warn: #fff3d6; --warn-line: #d9a300; }
@media (prefers-color-scheme: dark) {
  :root { --page: #161618; --card: #222225; --text: #ececec; --faint: #a8a8a8; --line: #43434a;
    --soft: #2c2c30; --accent: #9db4ff; --warn: #3a3014; --warn-line: #b48a1a; }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.45 system-ui, sans-serif; }
header, main, footer { max-width: 76rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: 1rem; }
h1 { font-size: 1.45rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 0.4rem; }
h3 { font-size: 1rem; margin: 1rem 0 0.3rem; overflow-wrap: anywhere; }
p { margin: 0.4rem 0; overflow-wrap: anywhere; max-width: 52rem; }
a { color: var(--accent); }
.subtitle, .note, figcaption, summary, dt, footer { color: var(--faint); }
.note, figcaption, footer { font-size: 0.87rem; }
nav ol { list-style: none; margin: 0.6rem 0 0; padding: 0; display: flex; flex-wrap: wrap;
  gap: 0.15rem 0.9rem; font-size: 0.9rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 0.9rem 1rem; margin: 0.9rem 0; min-width: 0; }
footer { padding-bottom: 2rem; }
.wide { overflow-x: auto; margin: 0.5rem 0; max-width: 100%; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.22rem 0.6rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { color: var(--faint); font-weight: 600; vertical-align: bottom; }
.t { text-align: left; }
td.t { white-space: normal; overflow-wrap: break-word; min-width: 4.5rem; max-width: 34rem; }
td.long { min-width: 13rem; }
.b { font-weight: 700; }
.facts { margin: 0.4rem 0; display: grid; gap: 0.15rem 1.5rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); }
.facts div { display: flex; gap: 0.7rem; align-items: baseline; }
.words { margin: 0.6rem 0 0; }
.words dt { max-width: none; }
.words dd { margin: 0 0 0.4rem 1rem; max-width: 46rem; }
dt { flex: 0 0 8.7rem; max-width: 45%; overflow-wrap: anywhere; }
dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
.big { display: flex; flex-wrap: wrap; gap: 0.7rem 2.2rem; margin: 0.5rem 0 0.8rem; }
.big div { min-width: 0; }
.big b { display: block; font-size: 2.3rem; line-height: 1.1; font-weight: 650;
  font-variant-numeric: tabular-nums; }
.big span { color: var(--faint); font-size: 0.9rem; overflow-wrap: anywhere; }
.grid { display: grid; gap: 1rem; align-items: start; margin: 0.5rem 0;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 25rem), 1fr)); }
.narrow { grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr)); gap: 0.6rem; }
figure { margin: 0; min-width: 0; max-width: 38rem; break-inside: avoid; }
figcaption { margin-top: 0.2rem; overflow-wrap: anywhere; }
figure img { display: block; width: 100%; height: auto; border-radius: 4px; }
.chart { display: block; width: 100%; height: auto; color: var(--text); }
.chart image { image-rendering: pixelated; }
.legend { list-style: none; margin: 0.4rem 0; padding: 0; display: flex; flex-wrap: wrap;
  gap: 0.1rem 1rem; font-size: 0.87rem; }
.legend li { overflow-wrap: anywhere; min-width: 0; }
.swatch { display: inline-block; width: 0.85em; height: 0.85em; margin-right: 0.35em;
  border: 1px solid #888; border-radius: 2px; vertical-align: -0.08em; }
.command { background: var(--soft); border: 1px solid var(--line); border-radius: 5px;
  padding: 0.5rem 0.7rem; margin: 0.4rem 0; overflow-x: auto; user-select: all;
  font: 0.85rem/1.45 ui-monospace, monospace; }
.command code { font: inherit; }
.notice { background: var(--warn); border-left: 4px solid var(--warn-line); border-radius: 3px;
  padding: 0.45rem 0.7rem; }
details { margin: 0.5rem 0; }
summary { cursor: pointer; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
@media (max-width: 30rem) {
  header, main, footer { padding-left: 0.6rem; padding-right: 0.6rem; }
  section { padding: 0.7rem; }
  .big b { font-size: 1.9rem; }
  .narrow { grid-template-columns: 1fr 1fr; }
  th, td { padding: 0.2rem 0.4rem; }
}
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
@media print {
  :root { color-scheme: light; --page: #fff; --card: #fff; --text: #000; --faint: #444;
    --line: #bbb; --soft: #f3f3f3; --accent: #000; --warn: #fff; }
  nav { display: none; }
  section { border: 0; padding: 0; }
  .command { white-space: pre-wrap; }
  .wide { overflow: visible; }
}
"""
