// Which of several feature repositories is meant.

interface IHints {
  /** What was chosen by hand. */
  chosen: string;
  /** What the kernel of the notebook in front says. */
  told: string | null;
  /** The path of the notebook in front. */
  front: string | null;
  /** What was looked at before. */
  before: string | null;
}

/** The repository to look at; null where that must be asked. */
export function pickRepository(
  names: readonly string[],
  hints: IHints
): string | null {
  const { chosen, told, front, before } = hints;
  if (chosen && names.includes(chosen)) {
    return chosen;
  }
  if (told !== null) {
    return told;
  }
  const [nearest] = names
    .filter(name => front !== null && holds(name, front))
    .sort((a, b) => b.length - a.length);
  if (nearest) {
    return nearest;
  }
  if (names.length === 1) {
    return names[0];
  }
  // Without a notebook in front, what was looked at is looked at on.
  return before !== null && names.includes(before) ? before : null;
}

/** Whether a path lies in a folder; `.` is the server's root. */
function holds(folder: string, path: string): boolean {
  return folder === '.' || path.startsWith(`${folder}/`);
}
