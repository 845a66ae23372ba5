/** Look of a report page; dark where the reader prefers it. A line out of view costs no layout. */
export const REPORT_STYLE = `
:root { color-scheme: light dark; --line: #8886; --faint: #888; --wait: #b8b8b8; --render: #3b82f6 }
body { font: 14px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1400px; padding: 1rem }
h1, h2, dd { overflow-wrap: anywhere }
h1 { font-size: 1.5rem; margin: 0 }
h2 { font-size: 1rem; margin: 0 0 .5rem }
h2 span, h2 em { font-weight: 400 }
h2 span, dt, figcaption, .made, .axis { color: var(--faint) }
.made { margin: .2rem 0 1rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .8rem; margin: 0 0 1rem }
dd { margin: 0 }
table { border-collapse: collapse; margin: 0 0 1rem }
th, td { border-bottom: 1px solid var(--line); padding: .2rem .8rem .2rem 0; text-align: left }
.charts { display: flex; flex-wrap: wrap; gap: 1rem }
figure { margin: 0 0 1rem; flex: 1 1 400px }
svg { width: 100%; height: 110px; background: #8881 }
.axis { display: flex; justify-content: space-between; margin: 0 }
nav { display: flex; flex-wrap: wrap; gap: .5rem; margin: 0 0 1rem }
button { font: inherit; color: inherit; background: none; cursor: pointer }
button { border: 1px solid var(--line); border-radius: 1rem; padding: .2rem .8rem }
button[aria-pressed=true] { background: var(--render); color: #fff }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(400px, 100%), 1fr)); gap: 1rem }
article { border: 1px solid var(--line); border-radius: .5rem; padding: .8rem }
article { content-visibility: auto; contain-intrinsic-size: auto 420px }
.pictures { display: flex; gap: .5rem; align-items: flex-start }
.pictures > * { min-width: 0; max-height: 220px }
img { max-width: 30%; object-fit: contain }
video { flex: 1; width: 60%; background: #0008 }
@media print {
  nav, video, a { display: none }
  article { break-inside: avoid; content-visibility: visible }
  img { max-width: 60% }
}
`;

/**
 * Sets the addresses of a video and its picture when it comes into view, and shows the lines of one outcome. A video
 * with a picture is not loaded before it is played.
 */
export const REPORT_SCRIPT = `
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    const { poster } = target.dataset;
    if (poster === undefined) target.preload = 'metadata';
    else target.poster = poster;
    target.src = target.dataset.src;
  }
}, { rootMargin: '200px' });
for (const video of document.querySelectorAll('video')) seen.observe(video);
const buttons = document.querySelectorAll('[data-filter]');
for (const button of buttons) {
  button.addEventListener('click', () => {
    document.body.dataset.show = button.dataset.filter;
    for (const other of buttons) other.setAttribute('aria-pressed', String(other === button));
  });
}
`;
