import { useTitle } from "../hooks";

export function AccountPage({ id }: { id: string }) {
  useTitle(id);
  return <h1>{id}</h1>;
}
