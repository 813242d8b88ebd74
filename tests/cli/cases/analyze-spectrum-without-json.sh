eckart analyze model --spectrum
