"""Quality: density and reconstruction, fixed protocol, means over seeds."""


def main(arguments: list[str]) -> None:
    print(arguments)
