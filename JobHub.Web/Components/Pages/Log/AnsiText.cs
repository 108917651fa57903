using System.Text;

namespace JobHub.Web.Components.Pages.Log;

/// <summary>A piece of a line that looks alike.</summary>
/// <param name="Classes">Names of ours only.</param>
/// <param name="Colours">A style of numbers that were read and written anew; null: none.</param>
/// <param name="Mark">It is what was searched for.</param>
public readonly record struct AnsiRun(string Text, string Classes, string? Colours, bool Mark);

/// <summary>
/// Reads a line as a terminal would: sequences that colour (SGR) become classes, everything else that controls is shown as ␛. What comes out is text and never markup. Each line begins plain:
/// a window over a log does not know what was set a thousand lines above.
/// </summary>
public static class AnsiText
{
    private const char Shown = '␛';
    private static readonly string[] Names = ["k", "r", "g", "y", "b", "m", "c", "w"];

    /// <summary>The runs of a line, marked where it holds a text.</summary>
    public static IReadOnlyList<AnsiRun> Read(string line, string? find = null, bool exact = false)
    {
        ArgumentNullException.ThrowIfNull(line);
        var (text, styles) = Split(line);
        var runs = new List<AnsiRun>();
        var marks = MarksOf(text, find, exact);
        for (var (at, mark) = (0, 0); at < text.Length;)
        {
            while (mark < marks.Count && marks[mark] + find!.Length <= at) mark++;
            var marked = mark < marks.Count && marks[mark] <= at;
            var end = marked ? marks[mark] + find!.Length : mark < marks.Count ? marks[mark] : text.Length;
            var style = styles.FindLastIndex(s => s.At <= at);
            if (style + 1 < styles.Count) end = Math.Min(end, styles[style + 1].At);
            var (classes, colours) = style < 0 ? ("", null) : (styles[style].Style.Classes, styles[style].Style.Colours);
            runs.Add(new(text[at..end], classes, colours, marked));
            at = end;
        }

        return runs;
    }

    /// <summary>The text that is seen.</summary>
    public static string Plain(string line) => Split(line).Text;

    private static List<int> MarksOf(string text, string? find, bool exact)
    {
        var marks = new List<int>();
        if (string.IsNullOrEmpty(find)) return marks;
        for (var at = 0; marks.Count < 200 && (at = text.IndexOf(find, at, exact ? StringComparison.Ordinal : StringComparison.OrdinalIgnoreCase)) >= 0; at += find.Length) marks.Add(at);
        return marks;
    }

    private static (string Text, List<(int At, Style Style)> Styles) Split(string line)
    {
        var text = new StringBuilder(line.Length);
        var styles = new List<(int At, Style Style)>();
        var style = new Style();
        for (var at = 0; at < line.Length; at++)
        {
            var c = line[at];
            if (c == '\e' && LengthOf(line, at) is > 0 and var length)
            {
                style = style.With(line.AsSpan(at + 2, length - 3));
                if (styles is [.., (var last, _)] && last == text.Length) styles.RemoveAt(styles.Count - 1);
                styles.Add((text.Length, style));
                at += length - 1;
            }
            else text.Append(Controls(c) ? Shown : c);
        }

        return (text.ToString(), styles);
    }

    /// <summary>How long a sequence that colours is; 0 when it is none.</summary>
    private static int LengthOf(string line, int at)
    {
        if (at + 1 >= line.Length || line[at + 1] != '[') return 0;
        var end = line.AsSpan(at + 2).IndexOfAnyExcept("0123456789;:");
        return end >= 0 && end < 200 && line[at + 2 + end] == 'm' ? end + 3 : 0;
    }

    // What turns the direction of all that follows is shown too: a line must not read otherwise than it was written.
    private static bool Controls(char c) => (char.IsControl(c) && c != '\t') || c is >= '\u202A' and <= '\u202E' or >= '\u2066' and <= '\u2069' or '\u2028' or '\u2029';

    private readonly record struct Style(string? Fore, string? Back, bool Bold, bool Dim, bool Italic, bool Under, bool Struck, bool Turned)
    {
        public string Classes
        {
            get
            {
                var classes = new StringBuilder();
                void Add(string? name) => classes.Append(name is null ? "" : classes.Length == 0 ? name : " " + name);
                if (Fore is { } fore && fore[0] != '#') Add("a-" + fore);
                if (Back is { } back && back[0] != '#') Add("o-" + back);
                if (Bold) Add("a-bold");
                if (Dim) Add("a-d");
                if (Italic) Add("a-italic");
                if (Under) Add("a-under");
                if (Struck) Add("a-struck");
                if (Turned) Add("a-turned");
                return classes.ToString();
            }
        }

        // Mixed with the page's own, so that no colour hides what is written in it.
        public string? Colours => (Fore, Back) switch
        {
            ({ } fore, { } back) when fore[0] == '#' && back[0] == '#' => $"color:{Mixed(fore)};background:{Washed(back)}",
            ({ } fore, _) when fore[0] == '#' => $"color:{Mixed(fore)}",
            (_, { } back) when back[0] == '#' => $"background:{Washed(back)}",
            _ => null,
        };

        public Style With(ReadOnlySpan<char> parameters)
        {
            var style = this;
            var numbers = new List<int>();
            foreach (var part in parameters.SplitAny(';', ':')) numbers.Add(int.TryParse(parameters[part], System.Globalization.NumberStyles.None, null, out var number) ? Math.Min(number, 9999) : 0);
            for (var i = 0; i < numbers.Count; i++)
            {
                style = numbers[i] switch
                {
                    0 => default,
                    1 => style with { Bold = true },
                    2 => style with { Dim = true },
                    3 => style with { Italic = true },
                    4 => style with { Under = true },
                    7 => style with { Turned = true },
                    9 => style with { Struck = true },
                    22 => style with { Bold = false, Dim = false },
                    23 => style with { Italic = false },
                    24 => style with { Under = false },
                    27 => style with { Turned = false },
                    29 => style with { Struck = false },
                    >= 30 and <= 37 => style with { Fore = Names[numbers[i] - 30] },
                    39 => style with { Fore = null },
                    >= 40 and <= 47 => style with { Back = Names[numbers[i] - 40] },
                    49 => style with { Back = null },
                    >= 90 and <= 97 => style with { Fore = Names[numbers[i] - 90] },
                    >= 100 and <= 107 => style with { Back = Names[numbers[i] - 100] },
                    38 => style with { Fore = Longer(numbers, ref i) ?? style.Fore },
                    48 => style with { Back = Longer(numbers, ref i) ?? style.Back },
                    _ => style,
                };
            }

            return style;
        }

        /// <summary>5;n of 256 colours, 2;r;g;b of all.</summary>
        private static string? Longer(List<int> numbers, ref int i)
        {
            if (i + 2 < numbers.Count && numbers[i + 1] == 5)
            {
                i += 2;
                return Of256(Math.Min(numbers[i], 255));
            }

            if (i + 4 >= numbers.Count || numbers[i + 1] != 2)
            {
                i = numbers.Count;
                return null;
            }

            i += 4;
            return Hex(numbers[i - 2], numbers[i - 1], numbers[i]);
        }

        private static string Of256(int n)
        {
            if (n < 16) return Names[n % 8];
            if (n >= 232) return Hex(8 + ((n - 232) * 10), 8 + ((n - 232) * 10), 8 + ((n - 232) * 10));
            n -= 16;
            return Hex(Step(n / 36), Step(n / 6 % 6), Step(n % 6));

            static int Step(int level) => level == 0 ? 0 : 55 + (level * 40);
        }

        private static string Hex(int r, int g, int b) => $"#{Math.Clamp(r, 0, 255):x2}{Math.Clamp(g, 0, 255):x2}{Math.Clamp(b, 0, 255):x2}";

        private static string Mixed(string hex) => $"color-mix(in oklab, {hex} 60%, var(--ink))";

        private static string Washed(string hex) => $"color-mix(in oklab, {hex} 30%, transparent)";
    }
}
