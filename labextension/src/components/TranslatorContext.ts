// The panel's language, for every component in it.
import {
  nullTranslator,
  type TranslationBundle
} from '@jupyterlab/translation';
import * as React from 'react';

export const TranslatorContext = React.createContext<TranslationBundle>(
  nullTranslator.load('feast_nb')
);

export function useTranslation(): TranslationBundle {
  return React.useContext(TranslatorContext);
}
