import { useQuery } from "@tanstack/react-query";
import { api } from "../api";

/** Whether Codex' own configuration sends its telemetry here; undefined until that is known. */
export function useConnected(): boolean | undefined {
  const found = useQuery({
    queryKey: ["connect"],
    queryFn: ({ signal }) => api<{ clients: { id: string; connected: boolean }[] }>("/api/connect", { signal }),
    meta: { topics: ["settings"] },
  });
  if (found.isPending) return undefined;
  return found.data?.clients.some(({ id, connected }) => id === "telemetry" && connected) ?? false;
}
