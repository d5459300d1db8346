// A drawing as a file: as SVG, or as a picture of at most 8,000 pixels a side.
import { toSvg } from './canvas';
import { type Graph } from './graph';

const INK = '#777777'; // seen on white and on black
const LARGEST = 8000;

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
