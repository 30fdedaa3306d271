import { QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";
import { makeClient } from "./live";
import { meant, remembered, speak } from "./words";
import "./tokens.css";
import "./style.css";
import "./forms.css";

const client = makeClient();

// The words first: a page that changes its language before one's eyes is hard to read.
void speak(meant(remembered())).then(() =>
  createRoot(document.getElementById("root") as HTMLElement).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <App />
      </QueryClientProvider>
    </StrictMode>,
  ),
);
