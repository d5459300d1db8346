// Whether a record is of a shape that this version of the extension reads.

/** The newest shape that this code reads; `records/document.py` writes it. */
const MAJOR = 1;

/** Why a record cannot be drawn, or null if it can. */
export function unreadable(record: unknown): string | null {
  const version =
    typeof record === 'object' && record !== null
      ? (record as { schema_version?: unknown }).schema_version
      : undefined;
  if (typeof version !== 'string') {
    return 'This output holds no record of feast_nb.';
  }
  return Number(version.split('.')[0]) > MAJOR
    ? `This was written in shape ${version}; upgrade the feast-nb lab extension to draw it.`
    : null;
}
