using System.Globalization;

namespace JobHub.Api.Http;

/// <summary>Query values read strictly. Empty ones count as absent; one given twice is a 400, since nobody can know which was meant.</summary>
public static class Queries
{
    extension(HttpRequest request)
    {
        /// <summary>The value, or null when it is absent or empty.</summary>
        public string? QueryText(string name)
        {
            var values = request.Query[name];
            if (values.Count > 1) throw Problems.InvalidField(name, $"'{name}' is given more than once.");
            if (values is [{ } text] && text.Contains('\0', StringComparison.Ordinal)) throw Problems.InvalidField(name, $"'{name}' holds a NUL character.");
            return values.Count == 0 || string.IsNullOrEmpty(values[0]) ? null : values[0];
        }

        /// <summary>A whole number in a range, or null.</summary>
        public long? QueryNumber(string name, long least, long most)
        {
            if (request.QueryText(name) is not { } text) return null;
            if (long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) && number >= least && number <= most) return number;
            throw Problems.InvalidField(name, most == long.MaxValue ? $"'{name}' must be a whole number from {least}." : $"'{name}' must be a whole number from {least} to {most}.");
        }

        /// <summary>true, false, 1 or 0; absent is false.</summary>
        public bool QueryFlag(string name) => request.QueryText(name) switch
        {
            null or "false" or "0" => false,
            "true" or "1" => true,
            _ => throw Problems.InvalidField(name, $"'{name}' must be true or false."),
        };

        /// <summary>One of a closed list of words, in any case, or null.</summary>
        public TWord? QueryWord<TWord>(string name) where TWord : struct, Enum
        {
            if (request.QueryText(name) is not { } text) return null;
            // Enum.TryParse takes numbers and lists of names too; only the names themselves are words.
            foreach (var word in Enum.GetValues<TWord>())
            {
                if (string.Equals(word.ToString(), text, StringComparison.OrdinalIgnoreCase)) return word;
            }

            throw Problems.InvalidField(name, $"'{name}' must be one of {string.Join(", ", Enum.GetNames<TWord>())}.");
        }
    }
}
