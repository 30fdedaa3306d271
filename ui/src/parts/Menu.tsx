/** A menu that drops from a button. */
import * as Radix from "@radix-ui/react-dropdown-menu";
import type { ReactNode } from "react";
import "../menu.css";

export interface Item {
  label: string;
  run: () => void;
  checked?: boolean;
  disabled?: boolean;
  danger?: boolean;
}

interface Props {
  label: string;
  children: ReactNode;
  items: (Item | "line")[];
  quiet?: boolean;
  /** Stay open while several are ticked. */
  stay?: boolean;
}

// Not modal: the modal kind locks scrolling with a <style> element, which the policy forbids.
// No portal: what it drops stays inside its landmark.
export function Menu({ label, children, items, quiet = false, stay = false }: Props) {
  return (
    <Radix.Root modal={false}>
      <Radix.Trigger className={quiet ? "quiet" : undefined} aria-label={label}>
        {children}
      </Radix.Trigger>
      <Radix.Content className="menu" align="end" sideOffset={4} collisionPadding={8}>
        {items.map((item, index) =>
          item === "line" ? (
            <Radix.Separator key={index} className="menu-line" />
          ) : (
            <Row key={item.label} item={item} stay={stay} />
          ),
        )}
      </Radix.Content>
    </Radix.Root>
  );
}

function Row({ item, stay }: { item: Item; stay: boolean }) {
  if (item.checked === undefined) {
    return (
      <Radix.Item className={item.danger ? "danger" : undefined} onSelect={item.run}>
        {item.label}
      </Radix.Item>
    );
  }
  return (
    <Radix.CheckboxItem
      checked={item.checked}
      disabled={item.disabled}
      onSelect={(event) => {
        if (stay) event.preventDefault();
        item.run();
      }}
    >
      <Radix.ItemIndicator className="tick" aria-hidden="true">✓</Radix.ItemIndicator>
      {item.label}
    </Radix.CheckboxItem>
  );
}
