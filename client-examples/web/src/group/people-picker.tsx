// Chooses people: by a search, and of those with whom there is a chat.
import { useState } from 'react';
import { Button, Checkbox, Input, Label, SearchField } from 'react-aria-components';

import { usePeople } from '../sidebar/sidebar.js';
import { Face } from '../files/face.js';
import { shownName } from '../ui/names.js';
import { Name, Problem, useAccountState } from '../ui/parts.js';

export interface Person {
  readonly id: string;
  readonly name: string;
}

interface PeoplePickerProps {
  readonly chosen: readonly Person[];
  readonly onChange: (chosen: readonly Person[]) => void;
  /** Who is there already. */
  readonly without: readonly string[];
}

export function PeoplePicker({ chosen, onChange, without }: PeoplePickerProps) {
  const { chats } = useAccountState();
  const [search, setSearch] = useState('');
  const { people, problem } = usePeople(search);
  const known = chats.flatMap(({ peer }) => (peer ? [peer] : [])).slice(0, 20);
  const shown = (search.trim() === '' ? known : people).filter(({ id }) => !without.includes(id));
  const isChosen = (id: string) => chosen.some((person) => person.id === id);
  const toggle = (person: Person) =>
    onChange(isChosen(person.id) ? chosen.filter(({ id }) => id !== person.id) : [...chosen, person]);

  return (
    <div className="picker">
      {chosen.length > 0 && (
        <div className="chips">
          {chosen.map((person) => (
            <Button key={person.id} className="chip" aria-label={`Remove ${shownName(person.name)}`} onPress={() => toggle(person)}>
              <Name of={person} /> ×
            </Button>
          ))}
        </div>
      )}
      <SearchField value={search} onChange={setSearch}>
        <Label>People</Label>
        <Input placeholder="Name or mail address" />
      </SearchField>
      <Problem text={problem} />
      <div className="picker-list">
        {shown.map((person) => (
          <Checkbox key={person.id} className="row" isSelected={isChosen(person.id)} onChange={() => toggle(person)}>
            <span className="box" aria-hidden="true" />
            <Face id={person.id} name={person.name} />
            <Name of={person} />
          </Checkbox>
        ))}
      </div>
    </div>
  );
}
