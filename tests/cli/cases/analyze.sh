eckart analyze model --no-cache
