/** A dialog over the page, and one that slides beside it for details. */
import * as Radix from "@radix-ui/react-dialog";
import { useRef, type ReactNode } from "react";
import { t } from "../words";

interface Props {
  title: string;
  open: boolean;
  close: () => void;
  children: ReactNode;
  /** "side" keeps the rows in view. */
  place?: "middle" | "side" | "wide";
  /** A click beside it does not close it: what it holds would be lost. */
  sturdy?: boolean;
}

/** What has the focus; of a menu that closes now, the button that opened it. */
function opener(): HTMLElement | null {
  const menu = document.activeElement?.closest("[role=menu]");
  const from = menu ? document.getElementById(menu.getAttribute("aria-labelledby") ?? "") : document.activeElement;
  return from instanceof HTMLElement ? from : null;
}

// Radix's own Overlay locks scrolling with a <style> element, which the page's policy forbids;
// a plain element dims the page just as well.
export function Dialog({ title, open, close, children, place = "middle", sturdy = false }: Props) {
  const back = useRef<HTMLElement | null>(null);
  return (
    <Radix.Root open={open} onOpenChange={(wanted) => wanted || close()}>
      <Radix.Portal>
        <div className="overlay" />
        <Radix.Content
          className={`dialog ${place}`}
          aria-describedby={undefined}
          // Radix gives the focus back to a trigger of its own only; ours are rows, buttons and menus.
          onOpenAutoFocus={() => {
            back.current = opener();
          }}
          onCloseAutoFocus={(event) => {
            event.preventDefault();
            back.current?.focus();
          }}
          onInteractOutside={(event) => sturdy && event.preventDefault()}
        >
          <div className="dialog-head">
            <Radix.Title>{title}</Radix.Title>
            <Radix.Close className="quiet" aria-label={t("do.close")}>
              ✕
            </Radix.Close>
          </div>
          {children}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}
