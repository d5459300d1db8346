// The icon of the panel and of its tabs.
import { LabIcon } from '@jupyterlab/ui-components';

export const panelIcon = new LabIcon({
  name: 'feast-nb:panel',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="16"><g class="jp-icon3" fill="#616161"><path d="M4 4h6v4H4zM4 10h6v4H4zM4 16h6v4H4z"/><circle cx="18" cy="12" r="3"/><path d="M10 5.4c4 0 5 2.600 5.600 4.600l-1.500.500C13.600 8.600 12.700 7 10 7zM10 11.200h5v1.600h-5zM10 18.600c4 0 5-2.600 5.600-4.600l-1.500-.500c-.5 1.900-1.400 3.500-4.100 3.500z"/></g></svg>'
});
