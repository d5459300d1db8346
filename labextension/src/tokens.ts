// The panel's id, and what the lab may offer it.
import { type ILabShell, type ILayoutRestorer } from '@jupyterlab/application';
import { type ICommandPalette } from '@jupyterlab/apputils';
import { type ISettingRegistry } from '@jupyterlab/settingregistry';
import { type IStateDB } from '@jupyterlab/statedb';
import { type ITranslator } from '@jupyterlab/translation';

export const PANEL = 'feast-nb-panel';

/** What the lab may offer, and does not everywhere. */
export interface IOptionalTokens {
  palette: ICommandPalette | null;
  translator: ITranslator | null;
  restorer: ILayoutRestorer | null;
  settings: ISettingRegistry | null;
  state: IStateDB | null;
  lab: ILabShell | null;
}
