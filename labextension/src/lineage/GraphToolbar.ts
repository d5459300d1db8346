// What stands above a drawing: search, zoom, save.
import { button, element } from '../dom';

interface IHandlers {
  search: (text: string) => void;
  /** Go to the next hit, or with -1 to the one before. */
  step: (by: 1 | -1) => void;
  zoom: (by: number) => void;
  fit: () => void;
  save: (kind: 'svg' | 'png') => void;
}

export class GraphToolbar {
  readonly node = element('div', 'fnb-toolbar');
  private readonly input = document.createElement('input');
  private readonly hits = element('span', 'fnb-quiet');

  constructor(handlers: IHandlers) {
    const { input } = this;
    input.type = 'search';
    input.placeholder = 'Find';
    input.setAttribute('aria-label', 'Find an object');
    input.addEventListener('input', () => handlers.search(input.value));
    input.addEventListener('keydown', event => {
      // The notebook has keys of its own for what is typed here.
      event.stopPropagation();
      if (event.key === 'Enter') {
        handlers.step(event.shiftKey ? -1 : 1);
      }
    });
    this.node.append(
      input,
      this.hits,
      button('+', 'Zoom in', () => handlers.zoom(1.25)),
      button('−', 'Zoom out', () => handlers.zoom(0.8)),
      button('Fit', 'Show all of it', () => handlers.fit()),
      button('SVG', 'Save as SVG', () => handlers.save('svg')),
      button('PNG', 'Save as PNG', () => handlers.save('png'))
    );
  }

  /** How many objects were found. */
  showHits(number: number): void {
    this.hits.textContent = this.input.value ? `${number} found` : '';
  }
}
