// A drawing as a file: as SVG, or as a picture of at most 8,000 pixels a side.
import { colourOf, cut, subtitle, trace } from './canvas';
import { BOX, type Graph } from './graph';

const INK = '#777777'; // seen on white and on black
const LARGEST = 8000;
// XML takes none of them, and a name may hold any.
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f\ud800-\udfff\ufffe\uffff]/g;

export function save(graph: Graph, kind: 'svg' | 'png'): void {
  const address = URL.createObjectURL(
    new Blob([toSvg(graph, INK)], { type: 'image/svg+xml' })
  );
  if (kind === 'svg') {
    download(address, 'lineage.svg');
    return;
  }
  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement('canvas');
    const scale = Math.min(2, LARGEST / Math.max(image.width, image.height));
    canvas.width = image.width * scale;
    canvas.height = image.height * scale;
    const context = canvas.getContext('2d');
    context?.drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob(blob => {
      if (blob) {
        download(URL.createObjectURL(blob), 'lineage.png');
      }
      URL.revokeObjectURL(address);
    });
  };
  image.src = address;
}

function download(address: string, name: string): void {
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** The whole graph as an SVG file. */
export function toSvg(graph: Graph, ink: string): string {
  const { width, height } = graph.record;
  const edges = graph.record.edges.map((_, edge) => {
    const points = graph.points(edge);
    const parts = [`M${points[0].map(Math.round).join(' ')}`];
    trace(points, (...numbers) =>
      parts.push(`C${numbers.map(Math.round).join(' ')}`)
    );
    return parts.join('');
  });
  const nodes = graph.nodes.map(node => {
    const colour = colourOf(node);
    const sub = subtitle(node);
    const fill = node.gone
      ? `fill="none" stroke="${ink}" stroke-dasharray="4 3"`
      : `fill="${colour}"`;
    const text = `fill="${node.gone ? ink : '#fff'}"`;
    const lines = [
      `<text x="9" y="${sub ? 15 : 21}" ${text}>${escaped(cut(node.label, 27))}</text>`,
      sub
        ? `<text x="9" y="28" font-size="10" ${text}>${escaped(cut(sub, 34))}</text>`
        : ''
    ];
    return (
      `<g transform="translate(${Math.round(node.x)} ${Math.round(node.y)})">` +
      `<rect width="${BOX.width}" height="${BOX.height}" rx="5" ${fill}/>${lines.join('')}</g>`
    );
  });
  const [w, h] = [Math.ceil(width) + 8, Math.ceil(height) + 8];
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-4 -4 ${w} ${h}" width="${w}" height="${h}" ` +
    `font-family="system-ui,sans-serif" font-size="12"><path d="${edges.join('')}" fill="none" ` +
    `stroke="${ink}" stroke-opacity=".7"/>${nodes.join('')}</svg>`
  );
}

function escaped(text: string): string {
  return text
    .replace(CONTROL, '\ufffd')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;');
}
