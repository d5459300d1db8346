// The live drawing: an anywidget whose `selected` Python reads and sets.
import { LineageView } from '../lineage/LineageView';
import { type ILineage } from '../records';

interface IModel {
  get(name: 'graph'): ILineage;
  get(name: 'selected'): string;
  set(name: 'selected', value: string): void;
  on(event: string, heard: () => void): void;
  off(event: string, heard: () => void): void;
  save_changes(): void;
}

function render({ model, el }: { model: IModel; el: HTMLElement }): () => void {
  let view: LineageView;
  let telling = false;
  const fill = () => {
    view?.dispose();
    const host = document.createElement('div');
    el.replaceChildren(host);
    view = new LineageView(host, model.get('graph'), id => {
      if (!telling && id !== model.get('selected')) {
        model.set('selected', id);
        model.save_changes();
      }
    });
    follow();
  };
  const follow = () => {
    telling = true;
    view.select(model.get('selected'));
    telling = false;
  };
  fill();
  model.on('change:graph', fill);
  model.on('change:selected', follow);
  return () => {
    model.off('change:graph', fill);
    model.off('change:selected', follow);
    view.dispose();
  };
}

export default { render };
