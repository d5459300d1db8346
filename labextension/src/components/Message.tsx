// A sentence in the place of what could be shown, with the button that leads on.
import * as React from 'react';

import { type IMessage, type Remedy } from '../messages';
import { type PanelModel } from '../model';

export function Message(props: {
  message: IMessage;
  model: PanelModel;
  onRemedy: (remedy: Remedy) => void;
}): React.ReactElement {
  const { message, model, onRemedy } = props;
  return (
    <div className="fnb-sentence" role="status">
      <p>{message.text}</p>
      {message.lines && <pre>{message.lines}</pre>}
      {message.remedy === 'choose' ? (
        <ul>
          {model.state.repositories.map(({ repo, project }) => (
            <li key={repo}>
              <button className="fnb-button" onClick={() => model.choose(repo)}>
                {project ? `${project} (${repo})` : repo}
              </button>
            </li>
          ))}
        </ul>
      ) : (
        <button className="fnb-button" onClick={() => onRemedy(message.remedy)}>
          {message.button}
        </button>
      )}
    </div>
  );
}
