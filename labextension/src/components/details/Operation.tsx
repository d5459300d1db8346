// An operation of Feast (apply, materialize) at a closer look.
import * as React from 'react';

import { formatTime } from '../../format';
import { type IOperation } from '../../records';
import { Facts } from '../Facts';
import { useTranslation } from '../TranslatorContext';

export function Operation(props: {
  operation: IOperation;
}): React.ReactElement {
  const { operation } = props;
  const trans = useTranslation();
  return (
    <Facts
      facts={[
        [trans.__('what'), operation.what],
        [trans.__('status'), operation.status.toLowerCase()],
        [trans.__('at'), operation.at && formatTime(operation.at)],
        [
          trans.__('took'),
          operation.seconds && `${operation.seconds.toFixed(1)} s`
        ],
        [trans.__('views'), operation.views.join(', ')],
        [trans.__('from'), operation.start],
        [trans.__('to'), operation.end],
        [trans.__('created'), operation.created.join(', ')],
        [trans.__('updated'), operation.updated.join(', ')],
        [trans.__('deleted'), operation.deleted.join(', ')],
        [trans.__('changed'), operation.changed.join(', ')],
        [trans.__('grade'), operation.grade],
        [trans.__('reason'), operation.reason],
        [trans.__('trouble'), operation.trouble],
        [trans.__('by'), operation.user]
      ]}
    />
  );
}
