/** The way back, once one has scrolled down: the page, and the long table in it. */
import { useEffect, useState } from "react";
import { t } from "../words";

/** Less than this is a flick of the wheel away. */
const FAR = 600;

function places(): Element[] {
  return [document.documentElement, ...document.querySelectorAll(".scroll.tall")];
}

export function ToTop() {
  const [far, setFar] = useState(false);
  useEffect(() => {
    const look = () => setFar(places().some(({ scrollTop }) => scrollTop > FAR));
    // Scrolling inside an element does not bubble; on its way down it can be seen.
    document.addEventListener("scroll", look, { capture: true, passive: true });
    return () => document.removeEventListener("scroll", look, { capture: true });
  }, []);
  if (!far) return null;
  const back = () => {
    for (const place of places()) place.scrollTo({ top: 0 });
    // Reading goes on where the eyes are.
    const heading = document.querySelector<HTMLElement>("main h1");
    heading?.setAttribute("tabindex", "-1");
    heading?.focus({ preventScroll: true });
  };
  return (
    <div className="to-top">
      <button type="button" onClick={back}>
        <span aria-hidden="true">↑</span> {t("do.top")}
      </button>
    </div>
  );
}
