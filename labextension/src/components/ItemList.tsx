// A long list of which only what is seen is drawn; one stop for Tab, arrow keys within.
import * as React from 'react';
import { List, type RowComponentProps, useListRef } from 'react-window';

import { type IListItem } from '../listItems';

const HEIGHT = 28;

interface IListProps {
  rows: IListItem[];
  label: string;
  /** How tall it is where nothing has been laid out yet. */
  height?: number;
  onOpen: (row: IListItem) => void;
  onToggle: (row: IListItem) => void;
}

interface ILineProps {
  rows: IListItem[];
  active: number;
  prefix: string;
  onPick: (place: number) => void;
  onToggle: (row: IListItem) => void;
}

export function ItemList(props: IListProps): React.ReactElement {
  const { rows, label, onOpen, onToggle } = props;
  const prefix = React.useId();
  const list = useListRef(null);
  const [picked, setPicked] = React.useState(0);
  const active = Math.min(picked, rows.length - 1);

  const go = (place: number) => {
    const next = Math.max(0, Math.min(place, rows.length - 1));
    setPicked(next);
    list.current?.scrollToRow({ index: next, align: 'auto' });
  };
  const key = (event: React.KeyboardEvent) => {
    const row = rows[active];
    const moves: Record<string, number> = {
      ArrowDown: active + 1,
      ArrowUp: active - 1,
      PageDown: active + 15,
      PageUp: active - 15,
      Home: 0,
      End: rows.length - 1
    };
    if (event.key in moves) {
      go(moves[event.key]);
    } else if (event.key === 'Enter' || event.key === ' ') {
      onOpen(row);
    } else if (event.key === 'ArrowRight' && row.open === false) {
      onToggle(row);
    } else if (event.key === 'ArrowLeft' && row.open) {
      onToggle(row);
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
      rowCount={rows.length}
      rowHeight={HEIGHT}
      rowComponent={Line}
      rowProps={{
        rows,
        active,
        prefix,
        onToggle,
        onPick: place => {
          setPicked(place);
          onOpen(rows[place]);
        }
      }}
    />
  );
}

function Line(props: RowComponentProps<ILineProps>): React.ReactElement {
  const { index, style, rows, active, prefix, ariaAttributes } = props;
  const row = rows[index];
  const reference = row.kind === 'feature';
  return (
    <div
      {...ariaAttributes}
      id={`${prefix}${index}`}
      role="option"
      aria-selected={index === active}
      aria-disabled={row.kind === 'heading' || undefined}
      className={`fnb-row fnb-row-${row.kind}${index === active ? ' fnb-active' : ''}${row.inner ? ' fnb-inner' : ''}`}
      style={style}
      data-fnb-id={row.id}
      data-fnb-kind={row.kind}
      draggable={reference}
      title={row.id.replace(/^(run|operation)=.*/, row.name)}
      onDragStart={event => {
        event.dataTransfer.setData('text/plain', `"${row.id}"`);
        event.dataTransfer.effectAllowed = 'copy';
      }}
      onClick={() => props.onPick(index)}
    >
      {row.open === undefined ? null : (
        <span
          className="fnb-caret"
          aria-hidden="true"
          onClick={event => {
            event.stopPropagation();
            props.onToggle(row);
          }}
        >
          {row.open ? '▾' : '▸'}
        </span>
      )}
      <span className="fnb-name">{row.name}</span>
      {row.badges.map(badge => (
        <span key={badge} className="fnb-badge">
          {badge}
        </span>
      ))}
      {row.marks.map(([mark, said]) => (
        <span key={mark} className={`fnb-flag fnb-flag-${mark}`}>
          {said}
        </span>
      ))}
      <span className="fnb-about">{row.about}</span>
    </div>
  );
}
