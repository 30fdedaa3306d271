/** A menu that drops from a button. */
import * as Radix from "@radix-ui/react-dropdown-menu";
import type { ReactNode } from "react";

export interface Item {
  label: string;
  run: () => void;
  checked?: boolean;
  danger?: boolean;
}

interface Props {
  label: string;
  children: ReactNode;
  items: (Item | "line")[];
  quiet?: boolean;
}

// Not modal: the modal kind locks scrolling with a <style> element, which the policy forbids.
export function Menu({ label, children, items, quiet = false }: Props) {
  return (
    <Radix.Root modal={false}>
      <Radix.Trigger className={quiet ? "quiet" : undefined} aria-label={label}>
        {children}
      </Radix.Trigger>
      <Radix.Portal>
        <Radix.Content className="menu" align="end" sideOffset={4} collisionPadding={8}>
          {items.map((item, index) =>
            item === "line" ? <Radix.Separator key={index} className="menu-line" /> : <Row key={item.label} item={item} />,
          )}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

function Row({ item }: { item: Item }) {
  if (item.checked === undefined) {
    return (
      <Radix.Item className={item.danger ? "danger" : undefined} onSelect={item.run}>
        {item.label}
      </Radix.Item>
    );
  }
  return (
    <Radix.CheckboxItem checked={item.checked} onSelect={item.run}>
      <Radix.ItemIndicator className="tick">✓</Radix.ItemIndicator>
      {item.label}
    </Radix.CheckboxItem>
  );
}
