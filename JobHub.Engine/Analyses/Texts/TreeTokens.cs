using System.Text;

namespace JobHub.Engine.Analyses;

/// <summary>The tokens of Newick and Nexus, read one by one: marks, words and quoted labels. Comments and white space are passed over.</summary>
internal sealed class TreeTokens
{
    private readonly TextReader reader;
    private readonly TreeTextLimits limits;
    private readonly CancellationToken ct;
    private readonly StringBuilder word = new();
    private readonly char[] buffer = new char[1 << 14];
    private int filled, at;
    private long read, line = 1, column = 1;
    private bool quoted;

    public TreeTokens(TextReader reader, TreeTextLimits limits, CancellationToken ct)
    {
        (this.reader, this.limits, this.ct) = (reader, limits, ct);
        if (Peek() == '\uFEFF') Take();
        Next();
    }

    /// <summary>The mark <c>( ) , : ; =</c> that stands here, or 0.</summary>
    public char Mark { get; private set; }

    /// <summary>The word or label that stands here, without quotes; empty for marks.</summary>
    public string Text { get; private set; } = "";

    public bool AtEnd { get; private set; }

    public bool IsLabel => !AtEnd && Mark == 0;

    /// <summary>Where the token starts.</summary>
    public long Line { get; private set; }

    /// <inheritdoc cref="Line"/>
    public long Column { get; private set; }

    public bool IsWord(string text) => IsLabel && !quoted && Text.Equals(text, StringComparison.OrdinalIgnoreCase);

    public TreeTextException Wrong(string reason) => new(AtEnd ? reason + ", but the text ends" : reason, Line, Column);

    /// <summary>Goes on to the next token.</summary>
    public void Next()
    {
        (Mark, Text, quoted) = ('\0', "", false);
        while (true)
        {
            var c = Peek();
            if (c == '[') SkipComment();
            else if (c >= 0 && char.IsWhiteSpace((char)c)) Take();
            else break;
        }

        (Line, Column) = (line, column);
        var first = Peek();
        if (first < 0) AtEnd = true;
        else if (first is '(' or ')' or ',' or ':' or ';' or '=') Mark = (char)Take();
        else if (first == ']') throw Wrong("a ] without its [");
        else Text = first == '\'' ? Quoted() : Unquoted();
    }

    /// <summary>Goes behind the next semicolon.</summary>
    public void SkipCommand()
    {
        while (Mark != ';')
        {
            if (AtEnd) throw Wrong("expected ;");
            Next();
        }

        Next();
    }

    private void SkipComment()
    {
        (Line, Column) = (line, column);
        var depth = 0;
        do
        {
            var c = Take();
            if (c < 0) throw Wrong("the comment that starts here has no end");
            depth += c == '[' ? 1 : c == ']' ? -1 : 0;
        }
        while (depth > 0);
    }

    private string Quoted()
    {
        quoted = true;
        word.Clear();
        Take();
        while (true)
        {
            var c = Take();
            if (c == '\'' && Peek() != '\'') break;
            if (c < 0) throw Wrong("the quoted label that starts here has no end");
            if (c == '\'') Take();
            Append((char)c);
        }

        if (word.Length == 0) throw Wrong("a label may not be empty");
        return word.ToString();
    }

    private string Unquoted()
    {
        word.Clear();
        while (Peek() is >= 0 and var c && !char.IsWhiteSpace((char)c) && (char)c is not ('(' or ')' or ',' or ':' or ';' or '=' or '[' or ']'))
        {
            if (c == '\'') throw new TreeTextException("a label with a quote in it must be quoted, the quote written twice", line, column);
            Append((char)Take());
        }

        return word.ToString();
    }

    private void Append(char c)
    {
        if (char.IsControl(c)) throw Wrong("the label that starts here has a line break or another control character in it");
        if (word.Length == limits.LabelLength) throw Wrong($"the label that starts here has more than {limits.LabelLength} characters");
        word.Append(c);
    }

    private int Peek()
    {
        if (at < filled) return buffer[at];
        ct.ThrowIfCancellationRequested();
        (at, filled) = (0, reader.Read(buffer, 0, buffer.Length));
        read += filled;
        if (read > limits.Characters) throw new TreeTextException($"the text has more than {limits.Characters} characters", line, column);
        return filled > 0 ? buffer[0] : -1;
    }

    private int Take()
    {
        var c = Peek();
        if (c < 0) return c;
        at++;
        (line, column) = c == '\n' ? (line + 1, 1) : (line, column + 1);
        return c;
    }
}
