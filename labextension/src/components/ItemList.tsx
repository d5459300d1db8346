// A long list of which only what is seen is drawn; one stop for Tab, arrow keys within.
import { caretDownIcon, caretRightIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { List, type RowComponentProps, useListRef } from 'react-window';

import { type IListItem } from '../listItems';

const HEIGHT = 28;

interface IListProps {
  items: IListItem[];
  label: string;
  /** How tall it is where nothing has been laid out yet. */
  height?: number;
  onOpen: (item: IListItem) => void;
  onToggle: (item: IListItem) => void;
}

interface ILineProps {
  items: IListItem[];
  active: number;
  prefix: string;
  onPick: (place: number) => void;
  onToggle: (item: IListItem) => void;
}

export function ItemList(props: IListProps): React.ReactElement {
  const { items, label, onOpen, onToggle } = props;
  const prefix = React.useId();
  const list = useListRef(null);
  const [picked, setPicked] = React.useState(0);
  const active = Math.min(picked, items.length - 1);

  const go = (place: number) => {
    const next = Math.max(0, Math.min(place, items.length - 1));
    setPicked(next);
    list.current?.scrollToRow({ index: next, align: 'auto' });
  };
  const key = (event: React.KeyboardEvent) => {
    const item = items[active];
    const moves: Record<string, number> = {
      ArrowDown: active + 1,
      ArrowUp: active - 1,
      PageDown: active + 15,
      PageUp: active - 15,
      Home: 0,
      End: items.length - 1
    };
    if (event.key in moves) {
      go(moves[event.key]);
    } else if (event.key === 'Enter' || event.key === ' ') {
      onOpen(item);
    } else if (event.key === 'ArrowRight' && item.open === false) {
      onToggle(item);
    } else if (event.key === 'ArrowLeft' && item.open) {
      onToggle(item);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <List<ILineProps>
      listRef={list}
      className="fnb-list"
      role="listbox"
      aria-label={label}
      aria-activedescendant={`${prefix}${active}`}
      tabIndex={0}
      onKeyDown={key}
      defaultHeight={props.height}
      rowCount={items.length}
      rowHeight={HEIGHT}
      rowComponent={Line}
      rowProps={{
        items,
        active,
        prefix,
        onToggle,
        onPick: place => {
          setPicked(place);
          onOpen(items[place]);
        }
      }}
    />
  );
}

function Line(props: RowComponentProps<ILineProps>): React.ReactElement {
  const { index, style, items, active, prefix, ariaAttributes } = props;
  const item = items[index];
  const reference = item.kind === 'feature';
  return (
    <div
      {...ariaAttributes}
      id={`${prefix}${index}`}
      role="option"
      aria-selected={index === active}
      aria-disabled={item.kind === 'heading' || undefined}
      className={`fnb-row fnb-row-${item.kind}${index === active ? ' fnb-active' : ''}${item.inner ? ' fnb-inner' : ''}`}
      style={style}
      data-fnb-id={item.id}
      data-fnb-kind={item.kind}
      draggable={reference}
      title={item.id.replace(/^(run|operation|health)=.*/, item.name)}
      onDragStart={event => {
        event.dataTransfer.setData('text/plain', `"${item.id}"`);
        event.dataTransfer.effectAllowed = 'copy';
      }}
      onClick={() => props.onPick(index)}
    >
      {item.open === undefined ? null : (
        <span
          className="fnb-caret"
          aria-hidden="true"
          onClick={event => {
            event.stopPropagation();
            props.onToggle(item);
          }}
        >
          {item.open ? (
            <caretDownIcon.react tag="span" />
          ) : (
            <caretRightIcon.react tag="span" />
          )}
        </span>
      )}
      {item.light && (
        <span
          className={`fnb-dot fnb-dot-${item.light[0]}`}
          role="img"
          aria-label={item.light[1]}
          title={item.light[1]}
        />
      )}
      <span className="fnb-name">{item.name}</span>
      {item.badges.map(badge => (
        <span key={badge} className="fnb-badge">
          {badge}
        </span>
      ))}
      {item.marks.map(([mark, said]) => (
        <span key={mark} className={`fnb-flag fnb-flag-${mark}`}>
          {said}
        </span>
      ))}
      <span className="fnb-about">{item.about}</span>
    </div>
  );
}
